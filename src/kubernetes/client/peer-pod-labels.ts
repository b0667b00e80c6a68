import { createHash } from "node:crypto";
import type { PeerPod } from "./resources.ts";

/** What the adaptor (ours and the Go one) puts on each PeerPod; who has deleted the VM removes it. */
export const PEER_POD_FINALIZER = "peer.pod/finalizer";

/** Labels of PeerPods that our adaptors make, and annotations of the same names with the whole value. */
export const NODE_LABEL = "confidentialcontainers.org/node";
export const SANDBOX_LABEL = "confidentialcontainers.org/sandbox";

const MAX_LABEL_CHARS = 63;
const HASH_CHARS = 10;

/**
 * A name as a label's value: itself if it fits, else its beginning and a hash. Sandbox ids have 64 characters, one more than a
 * label takes; node names up to 253.
 */
export function labelValue(name: string): string {
  if (name.length <= MAX_LABEL_CHARS) return name;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, HASH_CHARS);
  return `${name.slice(0, MAX_LABEL_CHARS - HASH_CHARS - 1).replace(/[^A-Za-z0-9]+$/, "")}-${hash}`;
}

/** Which node and sandbox a PeerPod is of; "" where it does not say: the Go adaptor's says neither. */
export function peerPodPlace({ metadata }: Pick<PeerPod, "metadata">): {
  readonly nodeName: string;
  readonly sandboxId: string;
} {
  const read = (key: string): string => metadata.annotations?.[key] ?? metadata.labels?.[key] ?? "";
  return { nodeName: read(NODE_LABEL), sandboxId: read(SANDBOX_LABEL) };
}
