import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { allowedMachineTypes, azureEnclaveMachine } from "../../cli/webhook-machines.ts";
import { mutatePod } from "./mutate.ts";
import type { WebhookPolicy } from "./policy.ts";
import { applyPatch } from "./test-patch.ts";
import { testPolicy } from "./test-policy.ts";

const HYPERVISOR = "io.katacontainers.config.hypervisor.";
const VM = { "kata.peerpods.io/vm": "1" };
const EPC = "kubernetes.azure.com/sgx_epc_mem_in_MiB";

interface Resources {
  requests?: Record<string, string>;
  limits?: Record<string, string>;
  claims?: readonly unknown[];
}
interface Container {
  name: string;
  restartPolicy?: string;
  resources?: Resources;
}
interface PodLike {
  metadata: { name: string; annotations?: Record<string, string> };
  spec: {
    runtimeClassName: string;
    hostPID?: boolean;
    hostIPC?: boolean;
    containers: Container[];
    initContainers?: Container[];
    resources?: Resources;
  };
}

const both = (quantities: Record<string, string>): Resources => ({
  requests: { ...quantities },
  limits: { ...quantities },
});
const pod = (containers: Container[], spec: Partial<PodLike["spec"]> = {}): PodLike => ({
  metadata: { name: "p" },
  spec: { runtimeClassName: "kata-remote", containers, ...spec },
});
const one = (resources: Resources, name = "c0"): Container => ({ name, resources });

/** The pod after the webhook, of which it must have allowed the creation. */
function admit(given: PodLike, policy: Partial<WebhookPolicy> = {}): PodLike {
  const verdict = mutatePod(given, testPolicy(policy));
  if (!verdict.allowed) throw new Error(`denied: ${verdict.message}`);
  // The operations keep a pod a pod.
  return applyPatch(given, verdict.operations) as PodLike;
}
const sizes = (given: PodLike, policy: Partial<WebhookPolicy> = {}): Record<string, string> =>
  Object.fromEntries(
    Object.entries(admit(given, policy).metadata.annotations ?? {})
      .filter(([key]) => key.startsWith(HYPERVISOR))
      .map(([key, value]) => [key.slice(HYPERVISOR.length), value]),
  );
const denial = (given: PodLike, policy: Partial<WebhookPolicy> = {}): string => {
  const verdict = mutatePod(given, testPolicy(policy));
  return verdict.allowed ? "" : `${verdict.code} ${verdict.message}`;
};
const warnings = (given: PodLike, policy: Partial<WebhookPolicy> = {}): readonly string[] => {
  const verdict = mutatePod(given, testPolicy(policy));
  return verdict.allowed ? verdict.warnings : [];
};

/** What the LimitRange plugin does to a pod whose containers say nothing. */
function fillDefaults(given: PodLike, defaults: Record<string, string>): PodLike {
  const copy = structuredClone(given);
  for (const container of [...(copy.spec.initContainers ?? []), ...copy.spec.containers]) {
    container.resources ??= {};
    for (const side of ["requests", "limits"] as const) {
      container.resources[side] = { ...defaults, ...container.resources[side] };
    }
  }
  return copy;
}

describe("a repeated call", () => {
  const first = pod([one(both({ cpu: "2", memory: "4Gi" })), one(both({ cpu: "100m" }), "c1")], {
    initContainers: [one(both({ cpu: "1" }), "i0")],
  });

  test("after LimitRange filled the emptied containers keeps the sizes, and empties them again", () => {
    const once = admit(first);
    const twice = admit(fillDefaults(once, { cpu: "500m", memory: "256Mi" }));
    expect(twice.metadata.annotations).toMatchObject({ [`${HYPERVISOR}default_vcpus`]: "4" });
    expect(twice.spec.containers.map((each) => each.resources)).toEqual([both(VM), {}]);
    expect(twice.spec.initContainers?.map((each) => each.resources)).toEqual([{}]);
  });

  test("keeps LimitRange's defaults of the first call as the containers' own", () => {
    const defaults = { cpu: "500m", memory: "256Mi" };
    const once = admit(fillDefaults(pod([one({}), one({}, "c1")]), defaults));
    const twice = admit(fillDefaults(once, defaults));
    expect(twice).toEqual(once);
    expect(sizes(once)).toEqual({ default_vcpus: "1", default_memory: "512" });
  });

  test("adds a sidecar that came in between, and drops a container that went", () => {
    const once = admit(first);
    once.spec.containers = [...once.spec.containers.slice(0, 1), one(both({ cpu: "3" }), "proxy")];
    expect(sizes(once)).toMatchObject({ default_vcpus: "6", default_memory: "4096" });
  });

  test("takes back a size of its own when nothing asks for it any more", () => {
    const once = admit(pod([one({}), one(both({ memory: "1Gi" }), "c1")]));
    once.spec.containers = once.spec.containers.slice(0, 1);
    expect(sizes(once)).toEqual({});
  });

  test("goes by what was kept only if that makes sense", () => {
    for (const text of ["", "{", "[]", '{"containers":{"c0":{"requests":{"cpu":"-1"}}}}', "null"]) {
      const given = pod([one(both({ cpu: "2" }))]);
      given.metadata.annotations = { "kata.peerpods.io/original-resources": text };
      expect(sizes(given)).toEqual({ default_vcpus: "2" });
    }
  });

  test("goes by what was kept in a copy of a pod too", () => {
    const copy = admit(first);
    copy.metadata.name = "copy";
    expect(sizes(copy)).toEqual(sizes(first));
  });
});

describe("init containers", () => {
  const given = (last: string): PodLike =>
    pod([one(both({ cpu: "2" })), one(both({ cpu: "1" }), "c1")], {
      initContainers: [
        one(both({ cpu: "4" }), "i0"),
        { ...one(both({ cpu: "2" }), "sidecar"), restartPolicy: "Always" },
        one(both({ cpu: last }), "i1"),
      ],
    });

  test("are added to all others, as the Go webhook does", () => {
    expect(sizes(given("2500m"))).toEqual({ default_vcpus: "12" });
  });

  test("count by Kubernetes' rule where that is chosen: beside the sidecars that run by then", () => {
    expect(sizes(given("2500m"), { initContainers: "effective" })).toEqual({ default_vcpus: "5" });
    expect(sizes(given("4"), { initContainers: "effective" })).toEqual({ default_vcpus: "6" });
  });
});

describe("pod-level resources", () => {
  test("stand for the containers' sums, resource by resource", () => {
    const given = pod([one(both({ cpu: "1", memory: "1Gi" })), one(both({ memory: "1Gi" }), "c1")], {
      resources: { requests: { cpu: "2" }, limits: { cpu: "6" } },
    });
    expect(sizes(given)).toEqual({ default_vcpus: "6", default_memory: "2048" });
    expect(admit(given).spec).not.toHaveProperty("resources");
    expect(sizes(admit(given))).toEqual({ default_vcpus: "6", default_memory: "2048" });
  });
});

describe("site defaults", () => {
  const policy = { defaultCpu: 1_000_000_000n, defaultMemory: 2n * 2n ** 30n * 1_000_000_000n };

  test("stand in for what a pod does not say", () => {
    expect(sizes(pod([one({})]), policy)).toEqual({ default_vcpus: "1", default_memory: "2048" });
    expect(sizes(pod([one(both({ cpu: "3" }))]), policy)).toEqual({
      default_vcpus: "3",
      default_memory: "2048",
    });
  });

  test("leave the user's own size, and are not taken for it in a repeated call", () => {
    const given = pod([one({})]);
    given.metadata.annotations = { [`${HYPERVISOR}default_vcpus`]: "8" };
    const once = admit(given, policy);
    expect(sizes(once, policy)).toEqual({ default_vcpus: "8", default_memory: "2048" });
    expect(sizes(once)).toEqual({ default_vcpus: "8" });
  });
});

describe("devices of the worker", () => {
  const fpga = { "example.com/fpga": "1" };
  const given = (): PodLike =>
    pod([
      one({ ...both({ ...fpga, cpu: "1" }), claims: [{ name: "x" }] }),
      one(both({ ...fpga, cpu: "1" }), "c1"),
    ]);

  test("are taken off with a warning", () => {
    expect(admit(given()).spec.containers.map((each) => each.resources)).toEqual([both(VM), {}]);
    expect(warnings(given())).toEqual([
      expect.stringMatching(/container c0 asks for example.com\/fpga, a resource claim,.*runs without/),
      expect.stringMatching(/container c1 asks for example.com\/fpga,.*runs without/),
    ]);
  });

  test("are kept where that is chosen", () => {
    const policy = { unknownResources: "keep" } as const;
    expect(admit(given(), policy).spec.containers.map((each) => each.resources)).toEqual([
      { ...both({ ...VM, ...fpga }), claims: [{ name: "x" }] },
      both(fpga),
    ]);
    expect(warnings(given(), policy)).toEqual([]);
  });

  test("are refused by name where that is chosen", () => {
    expect(denial(given(), { unknownResources: "deny" })).toMatch(
      /^403 container c0 asks for example.com\/fpga/,
    );
    expect(
      denial(pod([one(both({ "hugepages-2Mi": "4Mi", "nvidia.com/gpu": "1" }))]), {
        unknownResources: "deny",
      }),
    ).toBe("");
  });
});

describe("enclave memory", () => {
  const options = {
    defaultSize: "Standard_DC2as_v5",
    sizes: ["Standard_DC2as_v5", "Standard_DC1s_v3", "Standard_DC4s_v3"],
    key: "AZURE_INSTANCE_SIZES",
  };
  const policy = { chooseEnclaveMachine: azureEnclaveMachine(options, "upstream") };
  const enclave = (epc: string, more: Record<string, string> = {}): PodLike =>
    pod([one(both({ [EPC]: epc, ...more }))]);

  test("chooses the smallest machine that has all that is asked for", () => {
    expect(sizes(enclave("10"), policy)["machine_type"]).toBe("Standard_DC1s_v3");
    expect(sizes(enclave("4097"), policy)["machine_type"]).toBe("Standard_DC4s_v3");
    expect(sizes(enclave("10", { cpu: "2" }), policy)["machine_type"]).toBe("Standard_DC4s_v3");
  });

  test("counts the VM's own share where the adaptor adds one", () => {
    const aks = { chooseEnclaveMachine: azureEnclaveMachine(options, "aks") };
    expect(sizes(enclave("10", { cpu: "1" }), aks)["machine_type"]).toBe("Standard_DC4s_v3");
  });

  test("is chosen anew when a sidecar wants more", () => {
    const once = admit(enclave("10"), policy);
    once.spec.containers.push(one(both({ [EPC]: "5000" }), "sidecar"));
    const twice = admit(once, policy);
    expect(twice.metadata.annotations).toMatchObject({ [`${HYPERVISOR}machine_type`]: "Standard_DC4s_v3" });
    expect(JSON.parse(twice.metadata.annotations?.["io.katacontainers.peerpods.limits"] ?? "")).toEqual({
      c0: { epcMiB: 10 },
      sidecar: { epcMiB: 5000 },
    });
  });

  test("accepts the user's machine if it has enough, and says what lacks if not", () => {
    const given = enclave("10");
    given.metadata.annotations = { [`${HYPERVISOR}machine_type`]: "Standard_DC4s_v3" };
    expect(sizes(admit(given, policy), policy)["machine_type"]).toBe("Standard_DC4s_v3");
    given.metadata.annotations = { [`${HYPERVISOR}machine_type`]: "Standard_DC2as_v5" };
    expect(denial(given, policy)).toMatch(/^403 .*asks for 10 MiB.*Standard_DC2as_v5 has 0 MiB/);
  });

  test("is refused, saying what lacks, where no machine has it", () => {
    expect(denial(enclave("16385"), policy)).toMatch(/^403 .*16385 MiB of SGX memory.*AZURE_INSTANCE_SIZES/);
    expect(denial(enclave("10", { "nvidia.com/gpu": "1" }), policy)).toMatch(
      /no allowed size has .*1 GPU, 10 MiB/,
    );
    const without = { chooseEnclaveMachine: azureEnclaveMachine({ ...options, sizes: [] }, "upstream") };
    expect(denial(enclave("10"), without)).toMatch(
      /none of the allowed sizes \(Standard_DC2as_v5\) has SGX memory/,
    );
    expect(denial(enclave("10"))).toMatch(/a provider without SGX sizes/);
  });
});

describe("a pod that cannot work", () => {
  test("is refused when it wants the node's namespaces", () => {
    const given = pod([one({})], { hostPID: true, hostIPC: true });
    expect(denial(given)).toMatch(
      /^403 spec.hostPID and spec.hostIPC cannot be true with runtime class kata-remote/,
    );
  });

  test.each([
    [both({ cpu: "much" }), /^400 requests.cpu of container c0 is "much", which is no quantity/],
    [
      { limits: { memory: "-1Gi" } },
      /^400 limits.memory of container c0 is -1Gi: a quantity cannot be below 0/,
    ],
    [both({ "example.com/x": "?" }), /^400 requests.example.com\/x of container c0/],
  ])("is refused when a quantity makes no sense: %j", (resources, message) => {
    expect(denial(pod([one(resources)]))).toMatch(message);
  });

  test("is refused as unreadable when a field has another shape, unless it is not ours", () => {
    const broken = {
      spec: { runtimeClassName: "kata-remote", containers: [{ name: "c0", resources: { requests: "1" } }] },
    };
    expect(mutatePod(broken, testPolicy())).toMatchObject({ allowed: false, code: 400 });
    broken.spec.runtimeClassName = "runc";
    expect(mutatePod(broken, testPolicy())).toMatchObject({ allowed: true, operations: [], warnings: [] });
  });
});

describe("annotations of the user's", () => {
  const annotated = (annotations: Record<string, string>): PodLike => {
    const given = pod([one({})]);
    given.metadata.annotations = Object.fromEntries(
      Object.entries(annotations).map(([key, value]) => [HYPERVISOR + key, value]),
    );
    return given;
  };
  const machines = { defaultSize: "a", sizes: ["a", "b"], key: "SIZES" };
  const toml = 'algorithm = "sha256"\nversion = "0.1.0"\n[data]\n';
  const packed = (text: string): string => gzipSync(text).toString("base64");

  test.each([
    [
      { machine_type: "c" },
      /machine_type is "c", which is not allowed: choose one of a, b, or have it added to SIZES/,
    ],
    [{ default_vcpus: "2.5" }, /default_vcpus is "2.5", no whole number/],
    [{ cc_init_data: toml }, /cc_init_data is not base64 of gzip of TOML/],
    [{ cc_init_data: packed("version = 1") }, /cc_init_data: initdata: .*algorithm/],
    [{ cc_init_data: "aGVsbG8=" }, /cc_init_data: .*gzip/],
  ])("with which no VM can be made are told or refused: %j", (annotations, message) => {
    const policy = { allowedMachineTypes: allowedMachineTypes(machines) };
    const given = annotated(annotations);
    expect(warnings(given, policy)).toEqual([expect.stringMatching(message)]);
    expect(denial(given, { ...policy, badAnnotations: "deny" })).toMatch(message);
    expect(warnings(given, { ...policy, badAnnotations: "ignore" })).toEqual([]);
  });

  test("that are right pass without a word", () => {
    const given = annotated({ machine_type: "b", default_vcpus: "2", cc_init_data: packed(toml) });
    const policy = { allowedMachineTypes: allowedMachineTypes(machines), badAnnotations: "deny" } as const;
    expect(mutatePod(given, testPolicy(policy))).toMatchObject({ allowed: true, warnings: [] });
  });
});
