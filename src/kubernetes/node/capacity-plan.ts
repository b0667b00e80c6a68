import type { Node } from "../client/index.ts";

/** What a pod asks for one of, so that the scheduler counts the pod VMs of a node. */
export const VM_RESOURCE = "kata.peerpods.io/vm";
/** UID of the adaptor pod that advertises; as the Go adaptor has it. */
export const OWNER_ANNOTATION = "kata.peerpods.io/caa-owner";
/** Annotation, or label, of a Node with another limit than PEERPODS_LIMIT_PER_NODE. */
export const LIMIT_KEY = "kata.peerpods.io/limit";

export interface CapacityState {
  /** UID of our own pod; "": not known, then there is no owner annotation. */
  readonly podUid: string;
  /** Negative: nothing is advertised. */
  readonly limit: number;
  /** We have written the owner annotation in this process's term. */
  readonly claimed: boolean;
}

/** The one thing to do next about a Node. */
export type CapacityStep =
  | { readonly step: "claim" }
  | { readonly step: "advertise"; readonly value: string }
  /** `foreign`: another instance has written its owner annotation after us; the capacity is its business then. */
  | { readonly step: "none"; readonly reason: "kept" | "unlimited" | "foreign" };

/** Whoever wrote the owner annotation last owns the capacity, whatever instance that is, the Go adaptor's included. */
export function planCapacity(node: Node, { podUid, limit, claimed }: CapacityState): CapacityStep {
  if (limit < 0) return { step: "none", reason: "unlimited" };
  const owner = node.metadata.annotations?.[OWNER_ANNOTATION];
  if (podUid !== "") {
    // A Node object that was made anew has lost the annotation, and nobody has taken it.
    if (!claimed || owner === undefined) return { step: "claim" };
    if (owner !== podUid) return { step: "none", reason: "foreign" };
  }
  const value = String(limit);
  if (node.status?.capacity?.[VM_RESOURCE] === value) return { step: "none", reason: "kept" };
  return { step: "advertise", value };
}

/** The Node's own limit; undefined: it has none. A text that is no whole number is given back as `invalid`. */
export function limitOf(node: Node): number | { readonly invalid: string } | undefined {
  const text = node.metadata.annotations?.[LIMIT_KEY] ?? node.metadata.labels?.[LIMIT_KEY];
  if (text === undefined || text.trim() === "") return undefined;
  return /^-?\d{1,6}$/.test(text.trim()) ? Number(text) : { invalid: text };
}

/** A path of a JSON patch (RFC 6901). */
export const jsonPointer = (...keys: readonly string[]): string =>
  keys.map((key) => `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
