import { Secret } from "../../src/platform/index.ts";
import { type CreateOptions, OwnerTag, type VmRequest, type VmSize } from "../contract.ts";

/** A pod that asks for nothing. For tests. */
export const NOTHING: VmSize = { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 };

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
    size: NOTHING,
    image: "",
    dedicatedTunnelInterface: false,
    externalNetworkInterface: false,
    volumes: [],
    ...over,
  };
}

/** A signal that never aborts. For tests. */
export const never = (): AbortSignal => new AbortController().signal;

/** Options of a create that nobody watches. For tests. */
export const quiet = (signal: AbortSignal = never()): CreateOptions => ({
  signal,
  onId: () => undefined,
  onProgress: () => undefined,
});
