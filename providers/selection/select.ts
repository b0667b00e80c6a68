import { invalidRequest } from "../../src/errors/index.ts";
import type { VmSize } from "../contract.ts";
import { compareSizes, type OfferedSize, type SizeRules } from "./size.ts";

/** Which rule made the choice: what a capacity fallback may do about it depends on that. */
export type SizeReason = "machine-type" | "epc" | "gpu" | "best-fit" | "default";

export interface SizeChoice {
  readonly name: string;
  readonly reason: SizeReason;
  /** Other allowed sizes that serve the request as well, smallest first; none for an explicit machine type. */
  readonly alternatives: readonly string[];
}

/**
 * Chooses the size of a pod's VM: its explicit machine type; else by EPC, by GPUs, or by vCPUs and memory (a missing one
 * counts as 0) the first size in ascending order that is large enough; else the default. A linear scan: the Go
 * adaptor's binary search misses sizes, because its order is by memory alone.
 * Throws `invalid-request` when the type is not allowed or nothing allowed is large enough.
 */
export function selectSize(rules: SizeRules, request: VmSize): SizeChoice {
  if (request.machineType !== "") return explicitType(rules, request);
  const reason = reasonFor(request);
  if (reason === "default") return defaultChoice(rules);
  const fitting = allowedSizes(rules).filter((size) => fits(rules, size, request));
  const [first, ...rest] = fitting;
  if (!first) throw nothingFits(rules, request);
  return { name: first.name, reason, alternatives: rest.map((size) => size.name) };
}

function reasonFor(request: VmSize): SizeReason {
  if (epcOf(request) > 0) return "epc";
  if (request.gpus > 0) return "gpu";
  return request.vcpus > 0 || request.memoryMiB > 0 ? "best-fit" : "default";
}

function explicitType(rules: SizeRules, request: VmSize): SizeChoice {
  const name = request.machineType;
  const allowed = rules.allowed.length === 0 ? [rules.defaultSize] : rules.allowed;
  if (!allowed.includes(name)) {
    throw invalidRequest(
      `machine type ${name} is not allowed: choose one of ${allowed.join(", ")}, or add it to ${rules.allowedKey}`,
    );
  }
  const offered = rules.offered.find((size) => size.name === name);
  const epcMiB = epcOf(request);
  if (epcMiB > 0 && (offered?.epcMiB ?? 0) < epcMiB) {
    throw invalidRequest(
      `machine type ${name} has ${offered?.epcMiB ?? 0} MiB of SGX memory and the pod asks for ${epcMiB}: name a larger SGX size, or none`,
    );
  }
  return { name, reason: "machine-type", alternatives: [] };
}

function defaultChoice(rules: SizeRules): SizeChoice {
  const standard = rules.offered.find((size) => size.name === rules.defaultSize);
  const alternatives = standard
    ? allowedSizes(rules).filter(
        (size) =>
          size.name !== standard.name &&
          size.gpus === standard.gpus &&
          size.epcMiB > 0 === standard.epcMiB > 0 &&
          size.vcpus >= standard.vcpus &&
          size.memoryMiB >= standard.memoryMiB,
      )
    : [];
  return { name: rules.defaultSize, reason: "default", alternatives: alternatives.map((size) => size.name) };
}

/** In ascending order. The default counts as allowed only when there is no list. */
function allowedSizes(rules: SizeRules): readonly OfferedSize[] {
  const allowed = rules.allowed.length === 0 ? [rules.defaultSize] : rules.allowed;
  return rules.offered.filter((size) => allowed.includes(size.name)).sort(compareSizes);
}

/**
 * Large enough, and not a machine for others: GPU sizes are left to pods that ask for GPUs, and SGX sizes, which are no
 * confidential VMs on either cloud, to pods that ask for EPC, unless the operator's default is one itself.
 */
function fits(rules: SizeRules, size: OfferedSize, request: VmSize): boolean {
  const epcMiB = epcOf(request);
  if (request.gpus === 0 && size.gpus > 0) return false;
  if (epcMiB === 0 && size.epcMiB > 0 && !defaultHasEpc(rules)) return false;
  return (
    size.gpus >= request.gpus &&
    size.epcMiB >= epcMiB &&
    size.vcpus >= request.vcpus &&
    size.memoryMiB >= request.memoryMiB
  );
}

function defaultHasEpc(rules: SizeRules): boolean {
  return rules.offered.some((size) => size.name === rules.defaultSize && size.epcMiB > 0);
}

function epcOf(request: VmSize): number {
  return request.epcMiB ?? 0;
}

function nothingFits(rules: SizeRules, request: VmSize): Error {
  const asked = [
    `${request.vcpus} vCPU`,
    `${request.memoryMiB} MiB`,
    ...(request.gpus > 0 ? [`${request.gpus} GPU`] : []),
    ...(epcOf(request) > 0 ? [`${epcOf(request)} MiB of SGX memory`] : []),
  ].join(", ");
  const largest = allowedSizes(rules)
    .map((size) => size.name)
    .join(", ");
  return invalidRequest(
    `no allowed size has ${asked}: allowed and offered here are ${largest || "none"}; ask for less, or add a larger size to ${rules.allowedKey}`,
  );
}
