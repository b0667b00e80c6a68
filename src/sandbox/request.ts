import * as v from "valibot";
import type { VmSize } from "../../providers/contract.ts";
import { invalidRequest, journalFailed } from "../errors/index.ts";

/** Annotation keys of CreateVM (wire-protocol: kata-containers src/runtime/virtcontainers/remote.go). */
const Key = {
  podName: "io.kubernetes.cri.sandbox-name",
  podNamespace: "io.kubernetes.cri.sandbox-namespace",
  machineType: "io.katacontainers.config.hypervisor.machine_type",
  vcpus: "io.katacontainers.config.hypervisor.default_vcpus",
  memory: "io.katacontainers.config.hypervisor.default_memory",
  gpus: "io.katacontainers.config.hypervisor.default_gpus",
  image: "io.katacontainers.config.hypervisor.image",
  initdata: "io.katacontainers.config.hypervisor.cc_init_data",
} as const;

/** What a CreateVM asks for, checked. Plain data: it is journaled as JSON and compared with a repeated call's. */
export interface PodRequest {
  readonly sandboxId: string;
  readonly podName: string;
  readonly podNamespace: string;
  /** Only CRI-O's sandbox name carries it. */
  readonly podUid: string;
  readonly netns: string;
  readonly size: VmSize;
  /** "" is the provider's default. */
  readonly image: string;
  /** The document as the shim sent it; "" if none. */
  readonly initdata: string;
}

/** CRI ids are 64 hexadecimal digits; what is refused here could leave its directory or its option. */
const SANDBOX_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
/** Longest path of a unix socket on Linux, without the terminating zero (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107;
const MAX_ANNOTATION_NUMBER = 1_000_000_000;

/** Throws `invalid-request` unless `id` can name a sandbox and its directory. */
export function checkSandboxId(id: string): void {
  if (!SANDBOX_ID.test(id)) {
    throw invalidRequest(
      `sandbox id ${JSON.stringify(id.slice(0, 150))} is not usable; expected the CRI's id, 64 hexadecimal digits`,
    );
  }
}

/** Where the shim finds a sandbox's agent. Throws `invalid-request` when that path is too long for a unix socket. */
export function agentSocketPath(podsDir: string, id: string): string {
  const path = `${podsDir}/${id}/agent.ttrpc`;
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw invalidRequest(
      `the agent socket ${path} would have a path of ${Buffer.byteLength(path)} bytes; a unix socket takes ${MAX_SOCKET_PATH_BYTES}. Use a shorter PODS_DIR`,
    );
  }
  return path;
}

/** Reads a CreateVM. Throws `invalid-request` naming what is missing or wrong. */
export function parsePodRequest(
  id: string,
  annotations: Readonly<Record<string, string>>,
  netns: string,
): PodRequest {
  checkSandboxId(id);
  const name = podIdentity(annotations[Key.podName] ?? "", annotations[Key.podNamespace] ?? "", id);
  if (!netns.startsWith("/") || netns.includes("\0") || netns.split("/").includes("..")) {
    throw invalidRequest(
      `sandbox ${id}: the network namespace path ${JSON.stringify(netns)} is not an absolute path; set disable_new_netns and let the CRI make the pod's network`,
    );
  }
  return {
    sandboxId: id,
    ...name,
    netns,
    size: {
      machineType: annotations[Key.machineType] ?? "",
      vcpus: wholeNumber(annotations[Key.vcpus]),
      memoryMiB: wholeNumber(annotations[Key.memory]),
      gpus: wholeNumber(annotations[Key.gpus]),
    },
    image: annotations[Key.image] ?? "",
    initdata: annotations[Key.initdata] ?? "",
  };
}

/**
 * containerd sends the pod's name; CRI-O `k8s_<pod>_<namespace>_<uid>_<attempt>` under the same key (pod names hold no
 * underscore).
 */
function podIdentity(
  name: string,
  namespace: string,
  id: string,
): { podName: string; podNamespace: string; podUid: string } {
  const parts = name.split("_");
  const isCrio = parts[0] === "k8s" && parts.length >= 4;
  const podName = isCrio ? (parts[1] ?? "") : name;
  const podUid = isCrio ? (parts[3] ?? "") : "";
  if (podName === "")
    throw invalidRequest(
      `sandbox ${id}: the annotation ${Key.podName} is missing or holds no pod name: ${JSON.stringify(name)}`,
    );
  if (namespace === "") throw invalidRequest(`sandbox ${id}: the annotation ${Key.podNamespace} is missing`);
  return { podName, podNamespace: namespace, podUid };
}

/** As the Go adaptor, text that is no number counts as not asked for; runtime-rs writes a fraction, which is rounded up. */
function wholeNumber(text: string | undefined): number {
  if (text === undefined || !/^\d+(\.\d+)?$/.test(text.trim())) return 0;
  return Math.min(Math.ceil(Number(text)), MAX_ANNOTATION_NUMBER);
}

const journaledRequest = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    sandboxId: v.string(),
    podName: v.string(),
    podNamespace: v.string(),
    podUid: v.string(),
    netns: v.string(),
    size: v.object({ machineType: v.string(), vcpus: v.number(), memoryMiB: v.number(), gpus: v.number() }),
    image: v.string(),
    initdata: v.string(),
  }),
);

/** Reads back what CreateVM journaled. Throws `journal` when it makes no sense. */
export function parseJournaledRequest(text: string): PodRequest {
  const result = v.safeParse(journaledRequest, text);
  if (result.success) return result.output;
  throw journalFailed(`the journal holds a request that cannot be read: ${result.issues[0].message}`);
}

/** Whether two journaled requests ask for the same; what another release has written besides does not count. */
export function isSameRequest(a: string, b: string): boolean {
  return a === b || JSON.stringify(parseJournaledRequest(a)) === JSON.stringify(parseJournaledRequest(b));
}
