import * as v from "valibot";
import type { SecretObject } from "../client/index.ts";

/** One registry's credentials, as auth.json has them. */
export type Auths = ReadonlyMap<string, string>;

export type ReadPullSecret = { readonly auths: Auths } | { readonly problem: string };

const ENTRY = v.object({
  auth: v.optional(v.string(), ""),
  username: v.optional(v.string(), ""),
  password: v.optional(v.string(), ""),
});
const ENTRIES = v.record(v.string(), ENTRY);
const CONFIG = v.object({ auths: v.optional(ENTRIES, {}) });

/** The two types that the kubelet knows, and where their documents are (kubernetes pkg/credentialprovider/secrets). */
const TYPES: Readonly<
  Record<string, { readonly key: string; readonly auths: (document: unknown) => object }>
> = {
  "kubernetes.io/dockerconfigjson": {
    key: ".dockerconfigjson",
    auths: (document) => v.parse(CONFIG, document).auths,
  },
  "kubernetes.io/dockercfg": { key: ".dockercfg", auths: (document) => v.parse(ENTRIES, document) },
};

/**
 * The registries of one pull secret. What it cannot use is a `problem`, in words that hold nothing of the secret. An entry with
 * neither `auth` nor user and password is left out, as the kubelet does.
 */
export function readPullSecret(secret: Pick<SecretObject, "type" | "data">): ReadPullSecret {
  const type =
    secret.type !== undefined && Object.hasOwn(TYPES, secret.type) ? TYPES[secret.type] : undefined;
  if (type === undefined) {
    return { problem: `is of type ${secret.type ?? "(none)"}, not ${Object.keys(TYPES).join(" or ")}` };
  }
  const data = secret.data?.[type.key];
  if (data === undefined) return { problem: `has no key ${type.key}` };
  let entries: v.InferOutput<typeof ENTRIES>;
  try {
    const document: unknown = JSON.parse(Buffer.from(data, "base64").toString("utf8"));
    entries = v.parse(ENTRIES, type.auths(document));
  } catch {
    // The parser's own words quote the document.
    return { problem: `key ${type.key} is not the JSON that its type stands for` };
  }
  const auths = new Map<string, string>();
  for (const [registry, { auth, username, password }] of Object.entries(entries)) {
    if (auth !== "") auths.set(registry, auth);
    else if (username !== "" && password !== "")
      auths.set(registry, Buffer.from(`${username}:${password}`).toString("base64"));
  }
  return { auths };
}

export interface MergedAuth {
  /** undefined: there are no credentials. */
  readonly json: string | undefined;
  /** Registries that were left out for the size, since no image of the pod is from them. */
  readonly leftOut: readonly string[];
}

/**
 * auth.json of all the secrets; later ones win per registry. When it is over the limit, registries that no image of the pod comes
 * from are left out; what is then still too large is the caller's to refuse.
 */
export function mergeAuths(all: readonly Auths[], images: readonly string[], limitBytes: number): MergedAuth {
  const merged = new Map(all.flatMap((auths) => [...auths]));
  if (merged.size === 0) return { json: undefined, leftOut: [] };
  const whole = render(merged);
  if (Buffer.byteLength(whole) <= limitBytes) return { json: whole, leftOut: [] };
  const hosts = images.map(registryHost);
  const needed = new Map([...merged].filter(([registry]) => hosts.some((host) => serves(registry, host))));
  const leftOut = [...merged.keys()].filter((registry) => !needed.has(registry));
  return { json: needed.size === 0 ? undefined : render(needed), leftOut };
}

const render = (auths: Auths): string =>
  JSON.stringify({ auths: Object.fromEntries([...auths].map(([registry, auth]) => [registry, { auth }])) });

/** `docker.io` for `nginx` and `library/nginx`, as the reference grammar of images has it. */
function registryHost(image: string): string {
  const [first = "", ...rest] = image.split("/");
  return rest.length > 0 && (/[.:]/.test(first) || first === "localhost") ? first : "docker.io";
}

/** Whether a registry's key is for images of `host`: by host, with `*` for parts of it, and Docker Hub's old names. */
function serves(key: string, host: string): boolean {
  const keyHost = key.replace(/^https?:\/\//, "").split("/")[0] ?? "";
  if (host === "docker.io") return /^(?:index\.|registry-1\.)?docker\.io$/.test(keyHost);
  const keyParts = keyHost.split(".");
  const hostParts = host.split(".");
  return (
    keyParts.length === hostParts.length &&
    keyParts.every((part, index) => matches(part, hostParts[index] ?? ""))
  );
}

/** `*` for any text. Not by a regular expression: a tenant writes both, and a few stars can cost one minutes. */
function matches(pattern: string, text: string): boolean {
  const [start = "", ...parts] = pattern.split("*");
  const end = parts.pop();
  if (end === undefined) return pattern === text;
  if (text.length < start.length + end.length || !text.startsWith(start) || !text.endsWith(end)) return false;
  let rest = text.slice(start.length, text.length - end.length);
  for (const part of parts) {
    const at = rest.indexOf(part);
    if (at < 0) return false;
    rest = rest.slice(at + part.length);
  }
  return true;
}
