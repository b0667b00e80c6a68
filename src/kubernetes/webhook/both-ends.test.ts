import * as v from "valibot";
import { expect, test } from "vitest";
import { azureEnclaveMachine } from "../../cli/webhook-machines.ts";
import { CreateContainerRequest } from "../../gen/agent/agent.ts";
import { Spec } from "../../gen/agent/oci.ts";
import { parsePodRequest } from "../../sandbox/request.ts";
import { rewriteCreateContainer } from "../../shim-proxy/create-container.ts";
import { mutatePod } from "./mutate.ts";
import { applyPatch } from "./test-patch.ts";
import { testPolicy } from "./test-policy.ts";

// What the webhook writes is read by other processes, of perhaps another release: the adaptor and the shim-proxy.

const machines = {
  defaultSize: "Standard_DC2as_v5",
  sizes: ["Standard_DC4s_v3"],
  key: "AZURE_INSTANCE_SIZES",
};
const both = (quantities: Record<string, string>) => ({ requests: quantities, limits: { ...quantities } });

/** The annotations of a pod with one container, after the webhook. */
function annotationsOf(quantities: Record<string, string>): Record<string, string> {
  const pod = {
    metadata: { name: "web" },
    spec: { runtimeClassName: "kata-remote", containers: [{ name: "c0", resources: both(quantities) }] },
  };
  const policy = testPolicy({ chooseEnclaveMachine: azureEnclaveMachine(machines, "upstream") });
  const verdict = mutatePod(pod, policy);
  if (!verdict.allowed) throw new Error(verdict.message);
  const Annotated = v.object({ metadata: v.object({ annotations: v.record(v.string(), v.string()) }) });
  return v.parse(Annotated, applyPatch(pod, verdict.operations)).metadata.annotations;
}

const QUANTITIES = {
  cpu: "1500m",
  memory: "3Gi",
  "nvidia.com/gpu": "1",
};

test("the adaptor reads the size that the webhook wrote", () => {
  const identity = {
    "io.kubernetes.cri.sandbox-name": "web",
    "io.kubernetes.cri.sandbox-namespace": "team",
  };
  const sizeOf = (quantities: Record<string, string>) =>
    parsePodRequest("a".repeat(64), { ...identity, ...annotationsOf(quantities) }, "/run/netns/web").size;
  expect(sizeOf(QUANTITIES)).toEqual({ machineType: "", vcpus: 2, memoryMiB: 3072, gpus: 1 });
  expect(sizeOf({ "kubernetes.azure.com/sgx_epc_mem_in_MiB": "10" })).toEqual({
    machineType: "Standard_DC4s_v3",
    vcpus: 0,
    memoryMiB: 0,
    gpus: 0,
  });
});

test("the shim-proxy gives the container the limits that the webhook kept", () => {
  const Annotations = { ...annotationsOf(QUANTITIES), "io.kubernetes.cri.container-name": "c0" };
  const OCI = Spec.create({ Annotations, Linux: {} });
  const request = CreateContainerRequest.create({ containerId: "c", OCI });
  const problems: string[] = [];
  const payload = rewriteCreateContainer(CreateContainerRequest.encode(request).finish(), [], (text) =>
    problems.push(text),
  );
  const resources = CreateContainerRequest.decode(payload ?? new Uint8Array(0)).OCI?.Linux?.Resources;
  expect(problems).toEqual([]);
  expect(resources).toMatchObject({
    CPU: { Quota: 150_000n, Period: 100_000n },
    Memory: { Limit: 3n * 2n ** 30n },
  });
});
