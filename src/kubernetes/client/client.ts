import type { IncomingMessage } from "node:http";
import * as v from "valibot";
import { internal, isCaaError, unavailable } from "../../errors/index.ts";
import type { Clock, Log } from "../../platform/index.ts";
import { type ClusterAccess, type Endpoint, openEndpoint } from "./access.ts";
import { type Asked, apiFailure, describeAsked, unreachable } from "./failures.ts";
import { readBody, send } from "./http.ts";
import type { ApiObject, Resource } from "./resources.ts";

/** Names one object; `namespace` for namespaced resources only. */
export interface ObjectRef {
  readonly name: string;
  readonly namespace?: string | undefined;
}

/** An object to be made: `apiVersion` and `kind` are added. */
export interface Draft {
  readonly metadata: {
    readonly name?: string;
    readonly generateName?: string;
    readonly namespace?: string;
    readonly [key: string]: unknown;
  };
  readonly [key: string]: unknown;
}

/** Which objects of a resource; absent: all, of all namespaces. */
export interface Query {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export type JsonPatchOperation =
  | { readonly op: "add" | "replace" | "test"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string };

export type Patch =
  | { readonly type: "json"; readonly operations: readonly JsonPatchOperation[] }
  | { readonly type: "merge"; readonly value: object };

export interface DeleteOptions {
  /** Deletes nothing but this very object: `conflict` if the name has another by now. */
  readonly uid?: string;
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan";
}

export interface Listed<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
}

export interface ClientDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** As the API server's audit log names us: `cloud-api-adaptor/1.2.3 controller`. */
  readonly userAgent: string;
}

/** How long one request may take, milliseconds; watches: until their answer begins. */
const REQUEST_TIMEOUT_MS = 30_000;
const PAGE_SIZE = 500;

const LIST = v.object({
  metadata: v.object({ resourceVersion: v.string(), continue: v.optional(v.string(), "") }),
  items: v.nullable(v.array(v.unknown())),
});

/**
 * The API server, typed by the resources given. Every failure is a CaaError: `unauthorised` (401, 403, naming verb and resource),
 * `not-found`, `already-exists`, `conflict`, `gone` (410), `throttled` (with retryAfterMs), `invalid-request` (other 4xx),
 * `unavailable` (no answer, 5xx); or the signal's reason. Nothing is repeated here: callers are level-triggered and do.
 */
export class ClusterClient implements Disposable {
  readonly #deps: ClientDeps;
  readonly #endpoint: Endpoint;

  private constructor(deps: ClientDeps, endpoint: Endpoint) {
    this.#deps = deps;
    this.#endpoint = endpoint;
  }

  /** Reads credentials, and connects to nothing. Throws `invalid-config`. */
  static async open(deps: ClientDeps, access: ClusterAccess): Promise<ClusterClient> {
    return new ClusterClient(deps, await openEndpoint(access));
  }

  async get<T extends ApiObject>(resource: Resource<T>, ref: ObjectRef, signal: AbortSignal): Promise<T> {
    const asked = askedFor("get", resource, ref);
    return readObject(
      resource,
      asked,
      await this.#json(asked, { method: "GET" }, pathOf(resource, ref), signal),
    );
  }

  /** undefined: there is none. */
  async find<T extends ApiObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    try {
      return await this.get(resource, ref, signal);
    } catch (error) {
      if (isCaaError(error, "not-found")) return undefined;
      throw error;
    }
  }

  /** Complete, in pages. An object that cannot be read is left out and named in the log. */
  async list<T extends ApiObject>(
    resource: Resource<T>,
    query: Query,
    signal: AbortSignal,
  ): Promise<Listed<T>> {
    try {
      return await this.#listPages(resource, query, PAGE_SIZE, signal);
    } catch (error) {
      // The pages' version was compacted away in between: all at once, then.
      if (isCaaError(error, "gone")) return await this.#listPages(resource, query, 0, signal);
      throw error;
    }
  }

  async #listPages<T extends ApiObject>(
    resource: Resource<T>,
    query: Query,
    pageSize: number,
    signal: AbortSignal,
  ): Promise<Listed<T>> {
    const asked = askedFor("list", resource, { name: "", namespace: query.namespace });
    const items: T[] = [];
    let next = "";
    for (;;) {
      const parameters = queryParameters(query);
      if (pageSize > 0) parameters.set("limit", String(pageSize));
      if (next !== "") parameters.set("continue", next);
      const path = `${pathOf(resource, { name: "", namespace: query.namespace })}?${parameters.toString()}`;
      const page = parse(LIST, asked, await this.#json(asked, { method: "GET" }, path, signal));
      for (const item of page.items ?? []) {
        const object = this.readOrReport(resource, item);
        if (object !== undefined) items.push(object);
      }
      next = page.metadata.continue;
      if (next === "") return { items, resourceVersion: page.metadata.resourceVersion };
    }
  }

  async create<T extends ApiObject>(resource: Resource<T>, draft: Draft, signal: AbortSignal): Promise<T> {
    const { name, generateName, namespace } = draft.metadata;
    const asked = askedFor("create", resource, { name: name ?? `${generateName ?? ""}*`, namespace });
    const body = { apiVersion: apiVersionOf(resource), kind: resource.kind, ...draft };
    const path = pathOf(resource, { name: "", namespace });
    return readObject(resource, asked, await this.#json(asked, { method: "POST", body }, path, signal));
  }

  /** Writes the whole object back; `conflict` if it has changed since it was read. */
  async replace<T extends ApiObject>(resource: Resource<T>, object: T, signal: AbortSignal): Promise<T> {
    const asked = askedFor("update", resource, object.metadata);
    const body = { apiVersion: apiVersionOf(resource), kind: resource.kind, ...object };
    const path = pathOf(resource, object.metadata);
    return readObject(resource, asked, await this.#json(asked, { method: "PUT", body }, path, signal));
  }

  /** `invalid-request` when a test of a JSON patch fails, or what it removes is not there. */
  async patch<T extends ApiObject>(
    resource: Resource<T>,
    ref: ObjectRef & { readonly subresource?: "status" },
    patch: Patch,
    signal: AbortSignal,
  ): Promise<T> {
    const asked = askedFor("patch", resource, ref, ref.subresource);
    const path = pathOf(resource, ref, ref.subresource);
    const request = {
      method: "PATCH",
      body: patch.type === "json" ? patch.operations : patch.value,
      contentType: `application/${patch.type === "json" ? "json-patch" : "merge-patch"}+json`,
    };
    return readObject(resource, asked, await this.#json(asked, request, path, signal));
  }

  /** Whether there was one. It may stay for its finalizers. */
  async delete<T extends ApiObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { uid, ...rest } = options;
    const body = { apiVersion: "v1", kind: "DeleteOptions", ...rest, ...(uid && { preconditions: { uid } }) };
    try {
      const asked = askedFor("delete", resource, ref);
      await this.#json(asked, { method: "DELETE", body }, pathOf(resource, ref), signal);
      return true;
    } catch (error) {
      if (isCaaError(error, "not-found")) return false;
      throw error;
    }
  }

  /** POST to a subresource, such as `pods/<name>/eviction`; the answer as it comes. */
  async createSubresource<T extends ApiObject>(
    resource: Resource<T>,
    ref: ObjectRef & { readonly subresource: string },
    body: object,
    signal: AbortSignal,
  ): Promise<unknown> {
    const asked = askedFor("create", resource, ref, ref.subresource);
    return await this.#json(asked, { method: "POST", body }, pathOf(resource, ref, ref.subresource), signal);
  }

  /** The answer of a watch, 200, whose body is one event a line. For `follow`, which is what to use. */
  async openWatch<T extends ApiObject>(
    resource: Resource<T>,
    query: Query,
    from: { readonly resourceVersion: string; readonly timeoutSeconds: number },
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const parameters = queryParameters(query);
    parameters.set("watch", "true");
    parameters.set("allowWatchBookmarks", "true");
    parameters.set("resourceVersion", from.resourceVersion);
    parameters.set("timeoutSeconds", String(from.timeoutSeconds));
    const path = `${pathOf(resource, { name: "", namespace: query.namespace })}?${parameters.toString()}`;
    const asked = askedFor("watch", resource, { name: "", namespace: query.namespace });
    // The deadline of the first answer must not end the watch later.
    const opening = new AbortController();
    const cancel = this.#deps.clock.schedule(REQUEST_TIMEOUT_MS, () =>
      opening.abort(unavailable(`${describeAsked(asked)}: no answer within ${REQUEST_TIMEOUT_MS / 1000} s`)),
    );
    try {
      return await this.#send(asked, { method: "GET" }, path, AbortSignal.any([signal, opening.signal]));
    } finally {
      cancel();
    }
  }

  /** The object, or undefined and a line in the log: one that nobody understands must not hide the others. */
  readOrReport<T extends ApiObject>(resource: Resource<T>, item: unknown): T | undefined {
    const result = v.safeParse(resource.schema, item);
    if (result.success) return result.output;
    const bare = v.safeParse(BARE_NAME, item);
    const name = bare.success
      ? `${bare.output.metadata.namespace}/${bare.output.metadata.name}`
      : "(no name)";
    this.#deps.log.warn(
      `${resource.kind} ${name} cannot be read and is left out: ${issueText(result.issues)}`,
    );
    return undefined;
  }

  [Symbol.dispose](): void {
    this.#endpoint[Symbol.dispose]();
  }

  async #json(asked: Asked, request: Outgoing, path: string, signal: AbortSignal): Promise<unknown> {
    const limited = AbortSignal.any([signal, this.#deps.clock.timeout(REQUEST_TIMEOUT_MS)]);
    const answer = await this.#send(asked, request, path, limited, signal);
    const text = await this.#body(asked, answer, signal);
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw unavailable(`${describeAsked(asked)}: the answer is not JSON; is that an API server?`, { cause });
    }
  }

  async #send(
    asked: Asked,
    request: Outgoing,
    path: string,
    signal: AbortSignal,
    caller: AbortSignal = signal,
  ): Promise<IncomingMessage> {
    const { body, contentType = "application/json" } = request;
    let answer: IncomingMessage;
    try {
      answer = await send(this.#endpoint, {
        method: request.method,
        path,
        headers: {
          accept: "application/json",
          "user-agent": this.#deps.userAgent,
          ...(body !== undefined && { "content-type": contentType }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal,
      });
    } catch (error) {
      if (caller.aborted) throw caller.reason;
      throw isCaaError(error) ? error : unreachable(asked, error);
    }
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return answer;
    const text = await this.#body(asked, answer, caller);
    throw apiFailure(asked, { status, headers: answer.headers, body: text });
  }

  async #body(asked: Asked, answer: IncomingMessage, caller: AbortSignal): Promise<string> {
    try {
      return await readBody(answer);
    } catch (error) {
      if (caller.aborted) throw caller.reason;
      throw isCaaError(error) ? error : unreachable(asked, error);
    }
  }
}

interface Outgoing {
  readonly method: string;
  readonly body?: object;
  readonly contentType?: string;
}

const BARE_NAME = v.object({
  metadata: v.object({ name: v.optional(v.string(), ""), namespace: v.optional(v.string(), "") }),
});

function readObject<T extends ApiObject>(resource: Resource<T>, asked: Asked, answer: unknown): T {
  return parse(resource.schema, asked, answer);
}

function parse<T>(schema: v.GenericSchema<unknown, T>, asked: Asked, answer: unknown): T {
  const result = v.safeParse(schema, answer);
  if (result.success) return result.output;
  throw unavailable(
    `${describeAsked(asked)}: the answer is not what an API server sends: ${issueText(result.issues)}`,
  );
}

/** Where and what was expected; not the value, which may be a secret. */
const issueText = (issues: readonly v.BaseIssue<unknown>[]): string =>
  issues
    .slice(0, 3)
    .map((issue) => `${v.getDotPath(issue) ?? "object"}: expected ${issue.expected ?? "something else"}`)
    .join("; ");

const apiVersionOf = ({ group, version }: { readonly group: string; readonly version: string }): string =>
  group === "" ? version : `${group}/${version}`;

function pathOf<T extends ApiObject>(resource: Resource<T>, ref: ObjectRef, subresource?: string): string {
  const root = resource.group === "" ? `/api/${resource.version}` : `/apis/${apiVersionOf(resource)}`;
  if (ref.name !== "" && resource.namespaced && (ref.namespace ?? "") === "") {
    throw internal(`${resource.kind} ${ref.name} is asked for without its namespace`);
  }
  const place =
    resource.namespaced && ref.namespace !== undefined && ref.namespace !== ""
      ? `/namespaces/${encodeURIComponent(ref.namespace)}`
      : "";
  const name = ref.name === "" ? "" : `/${encodeURIComponent(ref.name)}`;
  return `${root}${place}/${resource.plural}${name}${subresource === undefined ? "" : `/${subresource}`}`;
}

function askedFor<T extends ApiObject>(
  verb: string,
  resource: Resource<T>,
  ref: ObjectRef,
  subresource?: string,
): Asked {
  const plural = resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
  return {
    verb,
    resource: subresource === undefined ? plural : `${plural}/${subresource}`,
    object: [ref.namespace ?? "", ref.name].filter((part) => part !== "").join("/"),
  };
}

function queryParameters(query: Query): URLSearchParams {
  const parameters = new URLSearchParams();
  if (query.labelSelector !== undefined) parameters.set("labelSelector", query.labelSelector);
  if (query.fieldSelector !== undefined) parameters.set("fieldSelector", query.fieldSelector);
  return parameters;
}
