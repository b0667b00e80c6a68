import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { applyJsonPatch, applyMergePatch, isObject, type Json } from "./json-patch.ts";

export interface ApiRequest {
  readonly method: string;
  readonly url: URL;
  readonly contentType: string;
  readonly body: string;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: Json;
}

/** What goes wrong with the next requests. */
export interface Fault {
  /** As a ClusterRole names them: `patch`, `nodes/status`. */
  readonly verb?: string;
  readonly resource?: string;
  /** How many requests; absent: all from now on. */
  readonly times?: number;
  /** The answer given in place of the true one, or none ever; absent: the connection is cut. */
  readonly answer?: ApiAnswer | "none";
}

interface Stored {
  readonly resource: string;
  readonly object: Json;
}

interface Change {
  readonly version: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly stored: Stored;
}

interface Watcher {
  readonly target: Target;
  readonly send: (type: string, object: Json) => void;
  readonly end: () => void;
}

interface Target {
  /** `nodes`, `peerpods.confidentialcontainers.org`. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  readonly query: URLSearchParams;
}

export interface Call {
  readonly verb: string;
  readonly resource: string;
  readonly object: string;
}

const PATH =
  /^\/(?:api|apis\/(?<group>[^/]+))\/v[^/]+(?:\/namespaces\/(?<namespace>[^/]+)(?=\/))?\/(?<plural>[^/]+)(?:\/(?<name>[^/]+))?(?:\/(?<sub>[^/]+))?$/;

/**
 * An API server in memory: objects with uids and versions, lists in pages, watches with history, JSON and merge patches, finalizers,
 * preconditions. It validates no schema; the real API server does, in test/cluster.
 */
export class FakeApi {
  /** Resources that exist; a CRD can be missing. */
  readonly resources: Set<string> = new Set([
    "pods",
    "nodes",
    "namespaces",
    "secrets",
    "configmaps",
    "serviceaccounts",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "peerpods.confidentialcontainers.org",
  ]);
  /** What was asked, in order. */
  readonly calls: Call[] = [];
  readonly #objects = new Map<string, Stored>();
  readonly #changes: Change[] = [];
  readonly #watchers = new Set<Watcher>();
  readonly #waiting: (() => void)[] = [];
  #faults: { fault: Fault; left: number }[] = [];
  #version = 100;
  #compacted = 0;

  /** Puts an object as kubectl would. */
  put(resource: string, object: Json & { readonly metadata: Json }): Json {
    const { metadata } = object;
    const full = {
      ...object,
      metadata: {
        uid: randomUUID(),
        creationTimestamp: new Date().toISOString(),
        ...metadata,
      },
    };
    const before = this.#objects.get(keyOf(resource, metadata));
    return this.#store(before === undefined ? "ADDED" : "MODIFIED", resource, full);
  }

  get(resource: string, name: string, namespace = ""): Json | undefined {
    return this.#objects.get(keyOf(resource, { name, namespace }))?.object;
  }

  all(resource: string): readonly Json[] {
    return [...this.#objects.values()].filter((one) => one.resource === resource).map((one) => one.object);
  }

  /** Removes it whatever its finalizers say. */
  remove(resource: string, name: string, namespace = ""): void {
    const stored = this.#objects.get(keyOf(resource, { name, namespace }));
    if (stored !== undefined) this.#drop(stored);
  }

  fail(fault: Fault): void {
    this.#faults.push({ fault, left: fault.times ?? Number.POSITIVE_INFINITY });
  }

  heal(): void {
    this.#faults = [];
  }

  /** Resolves with the next change of any object. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  get watches(): number {
    return this.#watchers.size;
  }

  endWatches(): void {
    for (const watcher of [...this.#watchers]) watcher.end();
  }

  bookmark(): void {
    for (const watcher of this.#watchers)
      watcher.send("BOOKMARK", { metadata: { resourceVersion: String(this.#version) } });
  }

  /** Forgets the history: a watch from before gets 410. */
  compact(): void {
    this.#compacted = this.#version;
  }

  /** undefined: cut the connection; "streams": it answers by itself. */
  handle(request: ApiRequest, response: ServerResponse): ApiAnswer | "streams" | undefined {
    const groups = PATH.exec(request.url.pathname)?.groups;
    if (groups === undefined)
      return failure(404, "NotFound", "the server could not find the requested resource");
    const plural = groups["plural"] ?? "";
    const group = groups["group"];
    const target: Target = {
      resource: group === undefined ? plural : `${plural}.${group}`,
      namespace: groups["namespace"] ?? "",
      name: groups["name"] ?? "",
      subresource: groups["sub"] ?? "",
      query: request.url.searchParams,
    };
    const verb = verbOf(request, target);
    const asked = target.subresource === "" ? target.resource : `${target.resource}/${target.subresource}`;
    this.calls.push({ verb, resource: asked, object: nameOf(target) });
    const fault = this.#fault(verb, asked);
    if (fault !== undefined) return fault.answer === "none" ? "streams" : fault.answer;
    if (!this.resources.has(target.resource))
      return failure(404, "NotFound", "the server could not find the requested resource");
    return verb === "watch" ? this.#watch(target, response) : this.#answer(verb, target, request);
  }

  #fault(verb: string, resource: string): Fault | undefined {
    const found = this.#faults.find(
      ({ fault, left }) =>
        left > 0 &&
        (fault.verb === undefined || fault.verb === verb) &&
        (fault.resource === undefined || fault.resource === resource),
    );
    if (found !== undefined) found.left--;
    return found?.fault;
  }

  #answer(verb: string, target: Target, request: ApiRequest): ApiAnswer {
    const stored = this.#objects.get(keyOf(target.resource, target));
    const body: unknown = request.body === "" ? {} : JSON.parse(request.body);
    if (verb === "list") return this.#list(target);
    if (verb === "create" && target.name === "") return this.#create(target, isObject(body) ? body : {});
    if (stored === undefined)
      return failure(404, "NotFound", `${target.resource} "${target.name}" not found`);
    switch (verb) {
      case "get":
        return { status: 200, body: stored.object };
      case "update":
        return this.#update(stored, isObject(body) ? body : {});
      case "patch":
        return this.#patch(stored, target, request.contentType, body);
      case "delete":
        return this.#delete(stored, isObject(body) ? body : {});
      default:
        return { status: 201, body: { kind: "Status", status: "Success" } };
    }
  }

  #list(target: Target): ApiAnswer {
    const limit = Number(target.query.get("limit") ?? 0);
    const [version = String(this.#version), from = "0"] = (target.query.get("continue") ?? "")
      .split("/")
      .filter((part) => part !== "");
    if (Number(version) < this.#compacted)
      return failure(410, "Expired", "the continue parameter is too old");
    const all = this.all(target.resource).filter((object) => selected(target, object));
    const end = limit > 0 ? Number(from) + limit : all.length;
    const metadata = { resourceVersion: version, ...(end < all.length && { continue: `${version}/${end}` }) };
    return { status: 200, body: { kind: "List", metadata, items: all.slice(Number(from), end) } };
  }

  #create(target: Target, body: Json): ApiAnswer {
    const metadata = isObject(body["metadata"]) ? body["metadata"] : {};
    const generated = `${String(metadata["generateName"])}${randomUUID().slice(0, 5)}`;
    const named = {
      ...metadata,
      name: metadata["name"] ?? generated,
      ...(target.namespace !== "" && { namespace: target.namespace }),
    };
    if (this.#objects.has(keyOf(target.resource, named)))
      return failure(409, "AlreadyExists", `${keyOf(target.resource, named)} already exists`);
    return { status: 201, body: this.put(target.resource, { ...body, metadata: named }) };
  }

  #update(stored: Stored, body: Json): ApiAnswer {
    if (metadataOf(body)["resourceVersion"] !== metadataOf(stored.object)["resourceVersion"])
      return failure(
        409,
        "Conflict",
        "the object has been modified; please apply your changes to the latest version",
      );
    return { status: 200, body: this.#settle(stored, body) };
  }

  #patch(stored: Stored, target: Target, contentType: string, body: unknown): ApiAnswer {
    const patched =
      contentType === "application/json-patch+json"
        ? applyJsonPatch(stored.object, Array.isArray(body) ? body : [])
        : applyMergePatch(stored.object, isObject(body) ? body : {});
    if (typeof patched === "string") return failure(422, "", `the server rejected our request: ${patched}`);
    const changed =
      target.subresource === "status"
        ? { ...stored.object, status: patched["status"] ?? {} }
        : { ...patched, ...("status" in stored.object && { status: stored.object["status"] }) };
    return { status: 200, body: this.#settle(stored, changed) };
  }

  #delete(stored: Stored, body: Json): ApiAnswer {
    const wanted = isObject(body["preconditions"]) ? body["preconditions"]["uid"] : undefined;
    const metadata = metadataOf(stored.object);
    if (wanted !== undefined && wanted !== metadata["uid"])
      return failure(409, "Conflict", "the UID in the precondition does not match the UID in record");
    if (hasFinalizers(stored.object)) {
      const deletionTimestamp = metadata["deletionTimestamp"] ?? new Date().toISOString();
      const marked = { ...stored.object, metadata: { ...metadata, deletionTimestamp } };
      return { status: 200, body: this.#store("MODIFIED", stored.resource, marked) };
    }
    this.#drop(stored);
    return { status: 200, body: { kind: "Status", status: "Success" } };
  }

  /** What is being deleted goes with its last finalizer. */
  #settle(stored: Stored, object: Json): Json {
    if (metadataOf(object)["deletionTimestamp"] === undefined || hasFinalizers(object))
      return this.#store("MODIFIED", stored.resource, object);
    this.#drop(stored);
    return object;
  }

  #store(type: "ADDED" | "MODIFIED", resource: string, object: Json): Json {
    const metadata: Json = { ...metadataOf(object), resourceVersion: String(++this.#version) };
    const stored = { resource, object: { ...object, metadata } };
    this.#objects.set(keyOf(resource, metadata), stored);
    this.#publish({ version: this.#version, type, stored });
    return stored.object;
  }

  #drop(stored: Stored): void {
    const metadata: Json = { ...metadataOf(stored.object), resourceVersion: String(++this.#version) };
    this.#objects.delete(keyOf(stored.resource, metadata));
    const last = { resource: stored.resource, object: { ...stored.object, metadata } };
    this.#publish({ version: this.#version, type: "DELETED", stored: last });
  }

  #publish(change: Change): void {
    this.#changes.push(change);
    for (const watcher of this.#watchers) tell(watcher, change);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #watch(target: Target, response: ServerResponse): ApiAnswer | "streams" {
    const from = Number(target.query.get("resourceVersion"));
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    const watcher: Watcher = {
      target,
      send: (type, object) => response.write(`${JSON.stringify({ type, object })}\n`),
      end: () => {
        this.#watchers.delete(watcher);
        response.end();
      },
    };
    if (from < this.#compacted) {
      watcher.send("ERROR", failure(410, "Expired", "too old resource version").body);
      response.end();
      return "streams";
    }
    this.#watchers.add(watcher);
    response.on("close", () => this.#watchers.delete(watcher));
    for (const change of this.#changes) if (change.version > from) tell(watcher, change);
    return "streams";
  }
}

function tell(watcher: Watcher, { type, stored }: Change): void {
  if (stored.resource !== watcher.target.resource || !selected(watcher.target, stored.object)) return;
  watcher.send(type, stored.object);
}

export const failure = (code: number, reason: string, message: string): ApiAnswer => ({
  status: code,
  body: { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message },
});

const metadataOf = (object: Json): Json => (isObject(object["metadata"]) ? object["metadata"] : {});

function hasFinalizers(object: Json): boolean {
  const finalizers = metadataOf(object)["finalizers"];
  return Array.isArray(finalizers) && finalizers.length > 0;
}

const keyOf = (resource: string, { name, namespace }: { name?: unknown; namespace?: unknown }): string =>
  `${resource} ${typeof namespace === "string" ? namespace : ""}/${String(name)}`;

const nameOf = ({ namespace, name }: Target): string =>
  [namespace, name].filter((part) => part !== "").join("/");

function verbOf({ method }: ApiRequest, { name, query }: Target): string {
  if (method === "GET" && query.get("watch") === "true") return "watch";
  const verbs: Record<string, string> = { POST: "create", PUT: "update", PATCH: "patch", DELETE: "delete" };
  return verbs[method] ?? (name === "" ? "list" : "get");
}

/** Field selectors by path, label selectors of the form `k=v` and `k`. */
function selected({ namespace, query }: Target, object: Json): boolean {
  const metadata = metadataOf(object);
  if (namespace !== "" && metadata["namespace"] !== namespace) return false;
  const fields = conditions(query.get("fieldSelector"));
  const labels = isObject(metadata["labels"]) ? metadata["labels"] : {};
  return (
    fields.every(([path, value]) => at(object, path) === value) &&
    conditions(query.get("labelSelector")).every(([key, value]) =>
      value === undefined ? key in labels : labels[key] === value,
    )
  );
}

const conditions = (text: string | null): [string, string | undefined][] =>
  (text ?? "")
    .split(",")
    .filter((part) => part !== "")
    .map((part) => {
      const [key = "", value] = part.split("=");
      return [key, value];
    });

function at(object: Json, path: string): unknown {
  let value: unknown = object;
  for (const key of path.split(".")) value = isObject(value) ? value[key] : undefined;
  return value;
}
