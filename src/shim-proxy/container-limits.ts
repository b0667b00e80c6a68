import { LinuxCPU, LinuxMemory, LinuxResources, type Spec } from "../gen/agent/oci.ts";

/** Written by the webhook, which takes the limits off the containers; see src/kubernetes/webhook. */
const LIMITS = "io.katacontainers.peerpods.limits";
/** containerd's key; CRI-O has the kubelet's label of the container among its annotations. */
const CONTAINER_NAME_KEYS = ["io.kubernetes.cri.container-name", "io.kubernetes.container.name"];
const CONTAINER_TYPE_KEYS = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];

/** An annotation is at most 256 KiB in all of a pod's; a container's limits take 80 bytes. */
const MAX_TEXT_CHARS = 64 * 1024;
/** The kernel's smallest quota, and the period that the kubelet uses (pkg/kubelet/cm/helpers_linux.go), microseconds. */
const MIN_QUOTA_US = 1000n;
/** An int64 on the wire: what is over it cannot be encoded. */
const MAX_QUOTA_US = 2n ** 63n - 1n;
const DEFAULT_PERIOD_US = 100_000n;

export interface RestoredLimits {
  /** Whether the specification was changed. */
  readonly changed: boolean;
  /** Why the annotation was passed over. */
  readonly problem?: string;
}

/**
 * Gives a container of a pod the limits of CPU and memory that the pod was written with. Only where the specification has none,
 * so that what a container runtime sets counts; the sandbox's own container gets none. Never throws: a pod without its limits is
 * still a pod.
 *
 * The annotation itself goes no further, unless it tells the guest of enclave memory: a policy that is generated from the pod's
 * manifest refuses annotations that it does not know (kata-containers src/tools/genpolicy/rules.rego, allow_anno).
 */
export function restoreLimits(spec: Spec): RestoredLimits {
  const { [LIMITS]: text, ...others } = spec.Annotations;
  if (text === undefined) return { changed: false };
  const name = first(spec, CONTAINER_NAME_KEYS);
  const isSandbox = first(spec, CONTAINER_TYPE_KEYS) === "sandbox";
  const limits = name === "" || isSandbox ? undefined : read(text, name);
  if (limits === undefined || typeof limits === "string" || limits.epcMiB === 0n) spec.Annotations = others;
  if (typeof limits === "string") return { changed: true, problem: `annotation ${LIMITS}: ${limits}` };
  if (limits !== undefined && spec.Linux !== undefined) {
    spec.Linux.Resources ??= LinuxResources.create();
    limitCpu(spec.Linux.Resources, limits.cpuMillis);
    limitMemory(spec.Linux.Resources, limits.memoryBytes);
  }
  return { changed: true };
}

const first = (spec: Spec, keys: readonly string[]): string =>
  keys.map((key) => spec.Annotations[key] ?? "").find((value) => value !== "") ?? "";

function limitCpu(resources: LinuxResources, millis: bigint): void {
  if (millis === 0n || (resources.CPU?.Quota ?? 0n) > 0n) return;
  resources.CPU ??= LinuxCPU.create();
  if (resources.CPU.Period === 0n) resources.CPU.Period = DEFAULT_PERIOD_US;
  const quota = (millis * resources.CPU.Period) / 1000n;
  if (quota < MIN_QUOTA_US) resources.CPU.Quota = MIN_QUOTA_US;
  else resources.CPU.Quota = quota > MAX_QUOTA_US ? MAX_QUOTA_US : quota;
}

function limitMemory(resources: LinuxResources, bytes: bigint): void {
  if (bytes === 0n || (resources.Memory?.Limit ?? 0n) > 0n) return;
  resources.Memory ??= LinuxMemory.create();
  resources.Memory.Limit = bytes;
}

interface Limits {
  readonly cpuMillis: bigint;
  readonly memoryBytes: bigint;
  readonly epcMiB: bigint;
}

/** The container's limits, 0 for none; undefined when it is not named; a text when they make no sense. */
function read(text: string, name: string): Limits | string | undefined {
  if (text.length > MAX_TEXT_CHARS) return `${text.length} characters are too many`;
  let all: unknown;
  try {
    all = JSON.parse(text);
  } catch {
    return "it is not JSON";
  }
  if (!isRecord(all)) return "it is no JSON object";
  const entry = Object.hasOwn(all, name) ? all[name] : undefined;
  if (entry === undefined) return undefined;
  if (!isRecord(entry)) return `container ${name} has no JSON object`;
  const { cpuMillis = 0, memoryBytes = 0, epcMiB = 0 } = entry;
  if (!isCount(cpuMillis)) return `cpuMillis of container ${name} is no whole number`;
  if (!isCount(memoryBytes)) return `memoryBytes of container ${name} is no whole number`;
  if (!isCount(epcMiB)) return `epcMiB of container ${name} is no whole number`;
  return { cpuMillis: BigInt(cpuMillis), memoryBytes: BigInt(memoryBytes), epcMiB: BigInt(epcMiB) };
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
