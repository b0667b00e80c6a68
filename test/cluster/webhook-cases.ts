import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KubernetesObject, V1ResourceQuota } from "@kubernetes/client-node";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { issueAuthority, issueServerCertificate } from "../../src/tls/index.ts";
import { until } from "../real/service.ts";
import type { Cluster } from "./cluster.ts";
import { startWebhook } from "./patching-webhook.ts";
import { type Replica, WEBHOOK, WebhookInstallation, whenReady } from "./webhook-replicas.ts";

const HYPERVISOR = "io.katacontainers.config.hypervisor.";
const VM = { "kata.peerpods.io/vm": "1" };
const ADMISSION_MS = 60_000;

interface Container {
  readonly name: string;
  readonly resources?: {
    readonly requests?: Record<string, string>;
    readonly limits?: Record<string, string>;
  };
}
type PodObject = KubernetesObject & { readonly spec: Readonly<Record<string, unknown>> };

const both = (quantities: Record<string, string>) => ({ requests: quantities, limits: quantities });
const container = (one: Container) => ({ image: "none.invalid/none", ...one });
const kataPod = (
  namespace: string,
  name: string,
  containers: readonly Container[] = [{ name: "c0" }],
  spec: Record<string, unknown> = {},
): PodObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { namespace, name },
  spec: { runtimeClassName: "kata-remote", containers: containers.map(container), ...spec },
});
const plainPod = (namespace: string, name: string): PodObject =>
  kataPod(namespace, name, undefined, { runtimeClassName: undefined });

const Containers = v.optional(
  v.array(
    v.object({
      resources: v.optional(v.object({ requests: v.optional(v.record(v.string(), v.string())) }), {}),
    }),
  ),
  [],
);
/** What the API server has made of a pod. */
const Created = v.object({
  metadata: v.object({
    uid: v.string(),
    annotations: v.optional(v.record(v.string(), v.string())),
  }),
  spec: v.object({ containers: Containers, initContainers: Containers, resources: v.optional(v.unknown()) }),
});
type CreatedPod = v.InferOutput<typeof Created>;

const sizesOf = (pod: Pick<KubernetesObject, "metadata"> | CreatedPod | undefined): Record<string, string> =>
  Object.fromEntries(
    Object.entries(pod?.metadata?.annotations ?? {})
      .filter(([key]) => key.startsWith(HYPERVISOR))
      .map(([key, value]) => [key.slice(HYPERVISOR.length), value]),
  );
const requestsOf = ({ spec }: CreatedPod): readonly unknown[] =>
  spec.containers.map(({ resources }) => resources.requests);

/** Another webhook for the pods of a namespace, behind ours in the order of names. */
const registrationOf = (namespace: string, ca: string): KubernetesObject & Record<string, unknown> => ({
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "MutatingWebhookConfiguration",
  metadata: { name: `zz-${namespace}` },
  webhooks: [
    {
      name: "injector.example.com",
      clientConfig: {
        service: { namespace, name: "injector" },
        caBundle: Buffer.from(ca).toString("base64"),
      },
      rules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] }],
      namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
      sideEffects: "None",
      admissionReviewVersions: ["v1"],
    },
  ],
});

const Text = v.object({ body: v.string() });
/** What the API server said against it; "" when it was created. */
async function refusal(creating: Promise<unknown>): Promise<string> {
  try {
    await creating;
    return "";
  } catch (error) {
    return v.parse(Text, error).body;
  }
}

export function webhookCases(cluster: () => Cluster): void {
  describe("the webhook", () => {
    let installed: WebhookInstallation;
    let replica: Replica;

    const api = () => cluster().api;
    const tryPod = async (pod: PodObject): Promise<CreatedPod> =>
      v.parse(Created, await api().objects.create(pod, undefined, "All"));
    const create = async (pod: PodObject): Promise<CreatedPod> =>
      v.parse(Created, await api().objects.create(pod));
    /** The registration, or what it leads to, has just changed: until the API server goes by it. */
    const takesEffect = (namespace: string): Promise<void> =>
      api().waitForAdmission(
        kataPod(namespace, "trial"),
        ({ object }) => object?.metadata?.uid !== undefined && isSized(object),
      );
    const isSized = (object: KubernetesObject): boolean =>
      JSON.stringify(object).includes('"kata.peerpods.io/vm":"1"');

    beforeAll(async () => {
      installed = await WebhookInstallation.in(cluster());
      replica = await installed.serve();
      await takesEffect(await api().createNamespace("team"));
    }, 120_000);

    afterAll(async () => {
      await installed[Symbol.asyncDispose]();
    });

    // Each restarts or replaces the process, so the rest has another one after it.
    const replace = async (env: Readonly<Record<string, string>> = {}): Promise<void> => {
      await replica.child.kill();
      replica = await installed.serve(env);
    };

    const pods = { api, tryPod, create };
    const outages = { ...pods, takesEffect, replica: () => replica, replace, installed: () => installed };
    podCases(pods);
    outageCases(outages);
    mountedCertificateCases(outages);
  });
}

interface Pods {
  readonly api: () => Cluster["api"];
  readonly tryPod: (pod: PodObject) => Promise<CreatedPod>;
  readonly create: (pod: PodObject) => Promise<CreatedPod>;
}

function podCases({ api, tryPod, create }: Pods): void {
  test("sizes a pod's VM, and the worker is charged for one pod VM only", async () => {
    const namespace = await api().createNamespace("team");
    const pod = await create(
      kataPod(namespace, "web", [
        { name: "c0", resources: both({ cpu: "1500m", memory: "1Gi" }) },
        { name: "c1", resources: { limits: { cpu: "1" } } },
      ]),
    );
    expect(sizesOf(pod)).toEqual({ default_vcpus: "3", default_memory: "1024" });
    expect(requestsOf(pod)).toEqual([VM, undefined]);
    expect(JSON.parse(pod.metadata.annotations?.["io.katacontainers.peerpods.limits"] ?? "")).toEqual({
      c0: { cpuMillis: 1500, memoryBytes: 2 ** 30 },
      c1: { cpuMillis: 1000 },
    });
  });

  test.each(workedCases())("does of worked case $row what the table says: $title", async (one) => {
    const namespace = await api().createNamespace("team");
    const pod = await tryPod({ ...one.pod, metadata: { ...one.pod.metadata, namespace } });
    expect(sizesOf(pod)).toEqual(one.sizes);
    const all = [...pod.spec.initContainers, ...pod.spec.containers];
    expect(
      all.map(({ resources }) => resources.requests).filter((requests) => requests !== undefined),
    ).toEqual([VM]);
    expect(pod.spec.resources).toBeUndefined();
  });

  test("refuses the node's namespaces and enclaves that no machine has, saying why", async () => {
    const namespace = await api().createNamespace("team");
    expect(await refusal(create(kataPod(namespace, "a", undefined, { hostNetwork: true })))).toMatch(
      /mwebhook.peerpods.io.*spec.hostNetwork cannot be true with runtime class kata-remote/,
    );
    const enclave = both({ "kubernetes.azure.com/sgx_epc_mem_in_MiB": "9000" });
    expect(await refusal(create(kataPod(namespace, "b", [{ name: "c0", resources: enclave }])))).toMatch(
      /asks for 9000 MiB of SGX memory.*Standard_DC2s_v3.*AZURE_INSTANCE_SIZES/,
    );
  });

  test("leaves pods of other classes alone, and those of kube-system and of control planes", async () => {
    const controlPlane = await api().createNamespace("operators", { "control-plane": "controller-manager" });
    const team = await api().createNamespace("team");
    const resources = both({ cpu: "1" });
    for (const pod of [
      plainPod(team, "plain"),
      kataPod("kube-system", "p", [{ name: "c0", resources }]),
      kataPod(controlPlane, "p", [{ name: "c0", resources }]),
    ]) {
      const created = await tryPod(pod);
      expect(created.metadata.annotations).toBeUndefined();
    }
  });

  test("with LimitRange defaults counts them once, though the API server fills them in again behind it", async () => {
    const namespace = await api().createNamespace("limits");
    await api().core.createNamespacedLimitRange({
      namespace,
      body: {
        metadata: { name: "defaults" },
        spec: { limits: [{ type: "Container", _default: { cpu: "500m", memory: "256Mi" } }] },
      },
    });
    const containers = [{ name: "c0", resources: both({ cpu: "2", memory: "4Gi" }) }, { name: "c1" }];
    await api().waitForAdmission(
      kataPod(namespace, "web", containers),
      ({ object }) => sizesOf(object)["default_memory"] === "4352",
    );
    const pod = await create(kataPod(namespace, "web", containers));
    expect(sizesOf(pod)).toEqual({ default_vcpus: "3", default_memory: "4352" });
    expect(requestsOf(pod)).toEqual([VM, undefined]);
  });

  test("called again after another webhook added a sidecar, counts that too and loses nothing", async () => {
    const namespace = await api().createNamespace("sidecars");
    const sidecar = container({
      name: "sidecar",
      resources: { requests: { cpu: "100m", memory: "128Mi" }, limits: { cpu: "2", memory: "1Gi" } },
    });
    const patch = [{ op: "add", path: "/spec/containers/-", value: sidecar }];
    await using injector = await startWebhook(`injector.${namespace}.svc`, patch);
    await api().routeService(namespace, "injector", injector.port);
    const resources = both({ cpu: "6", memory: "8Gi" });
    // Its name has it called after ours.
    await using _registration = await api().create([registrationOf(namespace, injector.ca)]);
    const wanted = { default_vcpus: "8", default_memory: "9216" };
    await api().waitForAdmission(
      kataPod(namespace, "web", [{ name: "c0", resources }]),
      ({ object }) => sizesOf(object)["default_memory"] === wanted.default_memory,
    );
    const pod = await create(kataPod(namespace, "web", [{ name: "c0", resources }]));
    expect(sizesOf(pod)).toEqual(wanted);
    expect(requestsOf(pod)).toEqual([VM, undefined]);
  });

  test.each([
    [{ type: "Container", min: { cpu: "100m" } }, /minimum cpu usage per Container is 100m. +No request/],
    [
      { type: "Container", max: { cpu: "4" } },
      /maximum cpu usage per Container is 4. +No limit is specified/,
    ],
    [{ type: "Container", maxLimitRequestRatio: { cpu: "2" } }, /ratio per Container is 2, but no/],
    [{ type: "Pod", min: { cpu: "100m" } }, /minimum cpu usage per Pod is 100m/],
  ])(
    "cannot help where a LimitRange demands %j: the API server refuses the emptied pod",
    async (demand, text) => {
      const namespace = await api().createNamespace("limits");
      await api().core.createNamespacedLimitRange({
        namespace,
        body: { metadata: { name: "demand" }, spec: { limits: [demand] } },
      });
      const pod = kataPod(namespace, "web", [{ name: "c0", resources: both({ cpu: "1" }) }]);
      expect(await until("its refusal", ADMISSION_MS, async () => await refusal(tryPod(pod)))).toMatch(text);
    },
  );

  test("leaves a ResourceQuota to count pod VMs; one of CPU refuses peer pods", async () => {
    const namespace = await api().createNamespace("quota");
    const quota = async (name: string, hard: Record<string, string>): Promise<void> => {
      await api().core.createNamespacedResourceQuota({
        namespace,
        body: { metadata: { name }, spec: { hard } },
      });
      await api().waitFor<V1ResourceQuota>(
        `/api/v1/namespaces/${namespace}/resourcequotas`,
        ({ metadata, status }) => metadata?.name === name && status?.hard !== undefined,
      );
    };
    await quota("vms", { "requests.kata.peerpods.io/vm": "1" });
    await create(kataPod(namespace, "first", [{ name: "c0", resources: both({ cpu: "8" }) }]));
    expect(await refusal(create(kataPod(namespace, "second")))).toMatch(
      /exceeded quota: vms, requested: requests.kata.peerpods.io\/vm=1/,
    );
    await quota("cpus", { "requests.cpu": "100" });
    const third = kataPod(namespace, "third", [{ name: "c0", resources: both({ cpu: "1" }) }]);
    expect(await refusal(create(third))).toMatch(/must specify requests.cpu/);
  });
}

interface Outages extends Pods {
  readonly takesEffect: (namespace: string) => Promise<void>;
  readonly replica: () => Replica;
  readonly replace: (env?: Readonly<Record<string, string>>) => Promise<void>;
  readonly installed: () => WebhookInstallation;
}

function outageCases({ api, tryPod, create, takesEffect, replica, replace, installed }: Outages): void {
  test("has asked for nothing that its role does not allow, and for nothing but its own two objects", async () => {
    const requests = await api().requestsOf(`system:serviceaccount:${installed().namespace}:${WEBHOOK}`);
    const own = [
      `/api/v1/namespaces/${installed().namespace}/secrets/${WEBHOOK}-cert`,
      `/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${WEBHOOK}`,
    ];
    expect(requests.length).toBeGreaterThan(2);
    expect(requests.filter(({ uri, status }) => !own.includes(uri) || status >= 300)).toEqual([]);
  });

  test("when it is down holds up pods of its class only", async () => {
    const namespace = await api().createNamespace("team");
    await replica().child.kill();
    expect((await create(plainPod(namespace, "plain"))).metadata.uid).not.toBe("");
    expect((await create(kataPod("kube-system", `p-${namespace}`))).metadata.uid).not.toBe("");
    expect(await refusal(create(kataPod(namespace, "web")))).toMatch(
      /failed calling webhook .*mwebhook.peerpods.io/,
    );
    await replace();
    await takesEffect(namespace);
  });

  test("answers what is under way when it is told to end, and then ends by itself", async () => {
    const { child, ready } = replica();
    child.process.kill("SIGTERM");
    await until("a webhook that is not ready", ADMISSION_MS, async () => (await ready()) !== 200);
    await child.exited;
    expect(child.process.exitCode).toBe(0);
    await replace();
  });

  test("in two replicas that start at once has one authority, and each can stand in for the other", async () => {
    const namespace = await api().createNamespace("team");
    await replica().child.kill();
    await api().core.replaceNamespacedSecret({
      namespace: installed().namespace,
      name: `${WEBHOOK}-cert`,
      body: { metadata: { name: `${WEBHOOK}-cert` }, type: "Opaque" },
    });
    const [one, other] = await Promise.all([installed().start(), installed().start()]);
    await Promise.all([whenReady(one), whenReady(other)]);
    expect(await installed().servedBy(one)).toBe(await installed().servedBy(other));
    for (const survivor of [one, other]) {
      await installed().route(survivor);
      await takesEffect(namespace);
    }
    await one.child.kill();
    await takesEffect(namespace);
    await other.child.kill();
    await replace();
  });

  test("changes its authority without one pod being refused", async () => {
    const namespace = await api().createNamespace("team");
    await replace({ PEERPODS_WEBHOOK_CERT_VALIDITY: "2160h" });
    await takesEffect(namespace);
    const before = { served: await installed().servedBy(replica()), trusted: await installed().trusted() };
    // With certificates that are to live so long the authority's rest is too short, so it is succeeded.
    const successor = await installed().start({
      PEERPODS_WEBHOOK_CERT_VALIDITY: "20000h",
      PEERPODS_WEBHOOK_CERT_OVERLAP: "3s",
    });
    await whenReady(successor);
    let rounds = 0;
    await until("another certificate", ADMISSION_MS, async () => {
      rounds++;
      await tryPod(kataPod(namespace, "web"));
      return (await installed().servedBy(replica())) !== before.served;
    });
    expect(rounds).toBeGreaterThan(1);
    await takesEffect(namespace);
    const trusted = await installed().trusted();
    expect(trusted).toContain(before.trusted);
    expect(trusted).not.toBe(before.trusted);
    await successor.child.kill();
  });
}

/** With certificates of somebody else's, as cert-manager mounts them and writes the caBundle. */
function mountedCertificateCases({ api, takesEffect, replica, replace, installed }: Outages): void {
  test("with mounted certificates asks nothing of the cluster, and follows their change", async () => {
    const team = await api().createNamespace("team");
    const { namespace } = installed();
    await replica().child.kill();
    const folder = await mkdtemp(join(tmpdir(), "webhook-certs-"));
    try {
      const validity = { nowMs: Date.now(), validityMs: 3_600_000 };
      const authority = await issueAuthority({ name: "test", ...validity });
      const dnsNames = [`${WEBHOOK}.${namespace}.svc`];
      const mount = async (): Promise<void> => {
        const { certPem, keyPem } = await issueServerCertificate(authority, { dnsNames, ...validity });
        await writeFile(join(folder, "tls.crt"), certPem);
        await writeFile(join(folder, "tls.key"), keyPem.reveal());
      };
      await mount();
      await installed().trust(authority.certPem);
      await replace({ PEERPODS_WEBHOOK_CERT_DIR: folder, PEERPODS_KUBECONFIG: "/nowhere" });
      await takesEffect(team);
      const before = await installed().servedBy(replica());
      await mount();
      await until(
        "the other certificate",
        ADMISSION_MS,
        async () => (await installed().servedBy(replica())) !== before,
      );
      await takesEffect(team);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}

/** Rows of the fixture that a real API server can be given: not those about raw objects, or about another configuration. */
function workedCases() {
  const Cases = v.array(
    v.looseObject({
      row: v.number(),
      title: v.string(),
      pod: v.optional(
        v.looseObject({
          apiVersion: v.string(),
          kind: v.string(),
          metadata: v.looseObject({ name: v.string() }),
          spec: v.looseObject({}),
        }),
      ),
      expect: v.looseObject({ operations: v.optional(v.array(v.looseObject({ path: v.string() })), []) }),
    }),
  );
  const file = new URL("../fixtures/webhook/cases.json", import.meta.url);
  const notThere = [14, 24, 32];
  return v
    .parse(Cases, JSON.parse(readFileSync(file, "utf8")))
    .flatMap(({ row, title, pod, expect: wanted }) => {
      const isOurs = pod?.spec["runtimeClassName"] === "kata-remote" && wanted.operations.length > 0;
      if (pod === undefined || !isOurs || notThere.includes(row)) return [];
      const given: Record<string, string> = v.parse(
        v.optional(v.record(v.string(), v.string()), {}),
        pod.metadata["annotations"],
      );
      return [{ row, title, pod, sizes: expectedSizes(given, wanted.operations) }];
    });
}

/** The size annotations of a pod after these operations, by their short names. */
function expectedSizes(
  given: Readonly<Record<string, string>>,
  operations: readonly Readonly<Record<string, unknown>>[],
): Record<string, string> {
  const sizes: Record<string, unknown> = { ...given };
  for (const { path, value } of operations) {
    const [, place, key] = /^(\/metadata\/annotations)(?:\/(.*))?$/.exec(String(path)) ?? [];
    if (place === undefined) continue;
    if (key === undefined) Object.assign(sizes, value);
    else sizes[key] = value;
  }
  return sizesOf({ metadata: { annotations: v.parse(v.record(v.string(), v.string()), sizes) } });
}
