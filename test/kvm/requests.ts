import { randomBytes } from "node:crypto";
import {
  type CreateOptions,
  type OwnerIdentity,
  OwnerTag,
  type VmRequest,
} from "../../providers/contract.ts";
import { Secret } from "../../src/platform/index.ts";

export const never: AbortSignal = new AbortController().signal;
export const OWNER: OwnerIdentity = { clusterId: "cluster-a", nodeName: "node-1" };
/** In the user data: must be seen nowhere. */
export const KEY_MARK = "the-pods-key-0815";

/** A VM for a pod of its own. */
export function vmRequest(changes: Partial<VmRequest> = {}): VmRequest {
  const sandbox = randomBytes(32).toString("hex");
  return {
    name: `podvm-web-${sandbox.slice(0, 8)}`,
    tags: {
      [OwnerTag.Cluster]: OWNER.clusterId,
      [OwnerTag.Node]: OWNER.nodeName,
      [OwnerTag.Sandbox]: sandbox,
      [OwnerTag.Namespace]: "default",
      [OwnerTag.Pod]: "web",
    },
    userData: new Secret(`#cloud-config\n# ${KEY_MARK}\n`),
    size: { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 },
    image: "",
    dedicatedTunnelInterface: false,
    externalNetworkInterface: false,
    volumes: [],
    ...changes,
  };
}

export const quietly: CreateOptions = { signal: never, onId: () => undefined, onProgress: () => undefined };
