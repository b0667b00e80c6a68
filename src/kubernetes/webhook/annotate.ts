import { describeError, unsupported } from "../../errors/index.ts";
import { type ContainerDemand, quantityIn, type Totals, totalsOf } from "./demand.ts";
import { Annotation, EPC_RESOURCE } from "./names.ts";
import { type Original, originalText, type PodDemand } from "./original.ts";
import type { Pod } from "./pod.ts";
import type { WebhookPolicy } from "./policy.ts";
import { type Nano, wholeMiB, wholeMillis, wholeUnits } from "./quantity.ts";

/** Annotations to set and to remove. */
export interface AnnotationChange {
  readonly set: Readonly<Record<string, string>>;
  readonly remove: readonly string[];
  /** Those of the first that say what the VM is to be. */
  readonly written: Readonly<Record<string, string>>;
}

const MAX_NUMBER = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * The annotations of a pod with that demand. A size of the user's own is overwritten where the containers ask for something, and
 * kept where they do not, as the Go webhook does. Throws `unsupported` when no machine has the enclave memory.
 */
export function annotationsFor(
  pod: Pod,
  demand: PodDemand,
  context: { readonly kept: Original; readonly policy: WebhookPolicy },
): AnnotationChange {
  const { kept, policy } = context;
  const present = pod.metadata?.annotations ?? {};
  const isOurs = (key: string): boolean =>
    Object.hasOwn(kept.written, key) && kept.written[key] === present[key];
  const users = Object.fromEntries(Object.entries(present).filter(([key]) => !isOurs(key)));
  const totals = totalsOf(demand.containers, demand.podLevel, policy);
  const sizes = sizeAnnotations(totals, users, policy);
  const written = { ...sizes, ...enclaveMachine(totals, { ...users, ...sizes }, policy) };
  const limits = limitsText(demand.containers);
  const original = originalText(demand, written);
  return {
    set: {
      ...written,
      ...(limits === undefined ? {} : { [Annotation.Limits]: limits }),
      ...(original === undefined ? {} : { [Annotation.Original]: original }),
    },
    written,
    remove: Object.keys(kept.written).filter((key) => isOurs(key) && !Object.hasOwn(written, key)),
  };
}

function sizeAnnotations(
  totals: Totals,
  users: Readonly<Record<string, string>>,
  policy: WebhookPolicy,
): Record<string, string> {
  const sized = (key: string, total: bigint, standard: bigint): Record<string, string> => {
    if (total > 0n) return { [key]: String(total) };
    return standard > 0n && !Object.hasOwn(users, key) ? { [key]: String(standard) } : {};
  };
  return {
    ...sized(Annotation.Vcpus, wholeUnits(totals.cpu), wholeUnits(policy.defaultCpu)),
    ...sized(Annotation.MemoryMiB, wholeMiB(totals.memory), wholeMiB(policy.defaultMemory)),
    ...sized(Annotation.Gpus, wholeUnits(totals.gpus), 0n),
  };
}

/** The worker's enclave memory is of no use to a VM elsewhere: the VM must be a machine that has its own. */
function enclaveMachine(
  totals: Totals,
  annotations: Readonly<Record<string, string>>,
  policy: WebhookPolicy,
): Record<string, string> {
  if (totals.epc === 0n) return {};
  const epcMiB = toNumber(wholeUnits(totals.epc));
  if (policy.chooseEnclaveMachine === undefined) {
    throw unsupported(
      `the pod asks for ${epcMiB} MiB of SGX memory (${EPC_RESOURCE}), and this cluster's pod VMs are of a provider without SGX sizes: remove the request, or choose another runtime class`,
    );
  }
  const wholeNumber = (key: string): number =>
    /^\d{1,9}$/.test(annotations[key] ?? "") ? Number(annotations[key]) : 0;
  let machineType: string;
  try {
    machineType = policy.chooseEnclaveMachine({
      machineType: annotations[Annotation.MachineType] ?? "",
      vcpus: wholeNumber(Annotation.Vcpus),
      memoryMiB: wholeNumber(Annotation.MemoryMiB),
      gpus: wholeNumber(Annotation.Gpus),
      epcMiB,
    });
  } catch (error) {
    throw unsupported(
      `the pod asks for ${epcMiB} MiB of SGX memory (${EPC_RESOURCE}): ${describeError(error)}`,
    );
  }
  // What the user named stays the user's: were it kept as ours, it would be chosen anew in a repeated call.
  return annotations[Annotation.MachineType] === machineType ? {} : { [Annotation.MachineType]: machineType };
}

/** What each container may use; the shim-proxy puts it back into the container's own cgroup, in its VM. */
function limitsText(containers: readonly ContainerDemand[]): string | undefined {
  const entries = containers.flatMap(({ name, demand }) => {
    const limit = (key: string, resource: string, unit: (value: Nano) => bigint): Record<string, number> => {
      const value = toNumber(unit(quantityIn(demand.limits, resource)));
      return value === 0 ? {} : { [key]: value };
    };
    const limits = {
      ...limit("cpuMillis", "cpu", wholeMillis),
      ...limit("memoryBytes", "memory", wholeUnits),
      ...limit("epcMiB", EPC_RESOURCE, wholeUnits),
    };
    return Object.keys(limits).length === 0 ? [] : [[name, limits] as const];
  });
  return entries.length === 0 ? undefined : JSON.stringify(Object.fromEntries(entries));
}

const toNumber = (value: bigint): number => Number(value > MAX_NUMBER ? MAX_NUMBER : value);
