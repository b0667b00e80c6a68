import { isDeepStrictEqual } from "node:util";

/** A JSON object. */
export type Json = Record<string, unknown>;

export const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** RFC 6902, the operations that we send. Gives a new document, or the reason why not, in the API server's words. */
export function applyJsonPatch(document: Json, operations: readonly unknown[]): Json | string {
  const result = structuredClone(document);
  for (const operation of operations) {
    if (!isObject(operation) || typeof operation["path"] !== "string") return "bad operation";
    const path = operation["path"];
    const keys = path
      .split("/")
      .slice(1)
      .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = keys.pop() ?? "";
    let parent: unknown = result;
    for (const key of keys) parent = memberOf(parent, key);
    if (operation["op"] === "test") {
      if (!isDeepStrictEqual(memberOf(parent, last), operation["value"])) {
        return `testing value ${path} failed: test failed`;
      }
      continue;
    }
    if (!isObject(parent) && !Array.isArray(parent)) {
      return `${String(operation["op"])} operation does not apply: doc is missing path: "${path}"`;
    }
    const why = change(parent, last, operation);
    if (why !== undefined) return why;
  }
  return result;
}

function change(parent: Json | unknown[], key: string, operation: Json): string | undefined {
  const missing = `${String(operation["op"])} operation does not apply: doc is missing key: ${String(operation["path"])}: missing value`;
  switch (operation["op"]) {
    case "add":
      if (Array.isArray(parent))
        parent.splice(key === "-" ? parent.length : Number(key), 0, operation["value"]);
      else parent[key] = operation["value"];
      return undefined;
    case "replace":
    case "remove":
      if (memberOf(parent, key) === undefined) return missing;
      if (operation["op"] === "replace") Object.assign(parent, { [key]: operation["value"] });
      else if (Array.isArray(parent)) parent.splice(Number(key), 1);
      else delete parent[key];
      return undefined;
    default:
      return `unknown operation ${String(operation["op"])}`;
  }
}

function memberOf(value: unknown, key: string): unknown {
  if (Array.isArray(value)) return value[Number(key)];
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

/** RFC 7386. */
export function applyMergePatch(document: unknown, patch: Json): Json {
  const result: Json = isObject(document) ? structuredClone(document) : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = isObject(value) ? applyMergePatch(result[key], value) : value;
  }
  return result;
}
