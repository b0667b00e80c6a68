import { Secret } from "../../src/platform/index.ts";
import { type CreateOptions, OwnerTag, type VmRequest } from "../contract.ts";

/** A request for a VM; `name` and sandbox go together. For tests. */
export function testRequest(over: Partial<VmRequest> = {}): VmRequest {
  return {
    name: "podvm-pod-55555555",
    tags: {
      [OwnerTag.Cluster]: "cluster-a",
      [OwnerTag.Node]: "node-1",
      [OwnerTag.Sandbox]: "5".repeat(64),
      [OwnerTag.Namespace]: "default",
      [OwnerTag.Pod]: "pod",
    },
    userData: new Secret("#cloud-config\n"),
    size: { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 },
    image: "",
    dedicatedTunnelInterface: false,
    externalNetworkInterface: false,
    volumes: [],
    ...over,
  };
}

/** A signal that never aborts. */
export const never = (): AbortSignal => new AbortController().signal;

/** Options of a create that nobody watches. */
export const quiet = (signal: AbortSignal = never()): CreateOptions => ({
  signal,
  onId: () => undefined,
  onProgress: () => undefined,
});
