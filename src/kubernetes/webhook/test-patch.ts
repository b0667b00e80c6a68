import type { PatchOperation } from "./patch.ts";

type Json = Record<string, unknown>;

/** Applies a JSON patch of ours as an API server does: to a copy, refusing a path whose parent, or whose target, is not there. */
export function applyPatch(object: unknown, operations: readonly PatchOperation[]): unknown {
  const copy: unknown = structuredClone(object);
  for (const operation of operations) apply(copy, operation);
  return copy;
}

function apply(root: unknown, operation: PatchOperation): void {
  const steps = operation.path
    .split("/")
    .slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = steps.pop() ?? "";
  let place: unknown = root;
  for (const step of steps) place = container(place, operation)[step];
  const parent = container(place, operation);
  if (operation.op !== "add" && !Object.hasOwn(parent, last)) {
    throw new Error(`${operation.op} ${operation.path}: there is nothing`);
  }
  if (operation.op === "remove") delete parent[last];
  else parent[last] = structuredClone(operation.value);
}

function container(place: unknown, operation: PatchOperation): Json {
  if (typeof place !== "object" || place === null) throw new Error(`${operation.path}: no such place`);
  // An object or array: both take string keys.
  return place as Json;
}
