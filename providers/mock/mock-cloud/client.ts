import { request } from "node:http";
import * as v from "valibot";
import {
  type Action,
  ApiError,
  ConsoleSchema,
  type CreateRequest,
  ErrorSchema,
  type Fault,
  InventorySchema,
  QuotaSchema,
  type QuotaView,
  type SettingsPatch,
  StatusSchema,
  type StatusView,
  type VmPage,
  VmPageSchema,
  VmSchema,
  type VmView,
} from "./api.ts";
import type { ListQuery } from "./cloud.ts";

/** Longest that one call may take. */
const CALL_LIMIT_MS = 30_000;
/** Most bytes of an answer. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/**
 * The machine room's API. Failures: ApiError when the cloud answered; any other Error when the connection failed, so that nobody knows whether
 * the call was carried out; the signal's reason when it aborted.
 */
export interface MockCloudClient {
  status(signal: AbortSignal): Promise<StatusView>;
  inventory(signal: AbortSignal): Promise<readonly string[]>;
  create(body: CreateRequest, signal: AbortSignal): Promise<VmView>;
  get(id: string, signal: AbortSignal): Promise<VmView>;
  list(query: ListQuery, signal: AbortSignal): Promise<VmPage>;
  delete(id: string, signal: AbortSignal): Promise<VmView>;
  console(id: string, signal: AbortSignal): Promise<string>;
  setUserData(id: string, userData: string, signal: AbortSignal): Promise<void>;
  quota(signal: AbortSignal): Promise<QuotaView>;
  act(id: string, action: Action, signal: AbortSignal): Promise<void>;
  fault(fault: Fault, signal: AbortSignal): Promise<void>;
  clearFaults(signal: AbortSignal): Promise<void>;
  settings(patch: SettingsPatch, signal: AbortSignal): Promise<void>;
}

const Anything = v.unknown();

/** A client of the machine room that listens on `socket`; opens a connection for each call. */
export function mockCloudClient(socket: string): MockCloudClient {
  const call = <S extends v.GenericSchema>(schema: S, method: string, path: string, options: CallOptions) =>
    callMachineRoom(socket, method, path, options).then((answer) => decodeAnswer(schema, answer));
  const vm = (id: string, rest = ""): string => `/v1/vms/${encodeURIComponent(id)}${rest}`;
  return {
    status: (signal) => call(StatusSchema, "GET", "/v1/status", { signal }),
    inventory: async (signal) => (await call(InventorySchema, "GET", "/v1/inventory", { signal })).resources,
    create: (body, signal) => call(VmSchema, "POST", "/v1/vms", { body, signal }),
    get: (id, signal) => call(VmSchema, "GET", vm(id), { signal }),
    list: (query, signal) => call(VmPageSchema, "GET", `/v1/vms?${listQuery(query)}`, { signal }),
    delete: (id, signal) => call(VmSchema, "DELETE", vm(id), { signal }),
    console: async (id, signal) => (await call(ConsoleSchema, "GET", vm(id, "/console"), { signal })).text,
    async setUserData(id, userData, signal) {
      await call(Anything, "PUT", vm(id, "/user-data"), { body: { userData }, signal });
    },
    quota: (signal) => call(QuotaSchema, "GET", "/v1/quota", { signal }),
    async act(id, action, signal) {
      await call(Anything, "POST", vm(id, "/actions"), { body: action, signal });
    },
    async fault(fault, signal) {
      await call(Anything, "POST", "/v1/faults", { body: fault, signal });
    },
    async clearFaults(signal) {
      await call(Anything, "DELETE", "/v1/faults", { signal });
    },
    async settings(patch, signal) {
      await call(Anything, "PATCH", "/v1/settings", { body: patch, signal });
    },
  };
}

interface CallOptions {
  readonly signal: AbortSignal;
  readonly body?: unknown;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

function listQuery({ tags, names, after }: ListQuery): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(tags)) query.append("tag", `${key}=${value}`);
  for (const name of names) query.append("name", name);
  if (after !== undefined) query.append("after", after);
  return query.toString();
}

function decodeAnswer<S extends v.GenericSchema>(schema: S, answer: Answer): v.InferOutput<S> {
  if (answer.status >= 200 && answer.status < 300) {
    const result = v.safeParse(schema, answer.body);
    if (result.success) return result.output;
    throw new ApiError("internal", "the machine room's answer has an unexpected form");
  }
  const failure = v.safeParse(ErrorSchema, answer.body);
  if (!failure.success)
    throw new ApiError("internal", `the machine room answered with status ${answer.status}`);
  const { kind, message, retryAfterMs } = failure.output.error;
  throw new ApiError(kind, message, retryAfterMs);
}

function callMachineRoom(
  socketPath: string,
  method: string,
  path: string,
  { signal, body }: CallOptions,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(signal.aborted ? signal.reason : error);
    const sent = body === undefined ? "" : JSON.stringify(body);
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(sent) };
    const outgoing = request(
      { socketPath, method, path, headers, signal, agent: false, timeout: CALL_LIMIT_MS },
      (incoming) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        incoming.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_ANSWER_BYTES) outgoing.destroy(new Error("the machine room's answer is too large"));
          else chunks.push(chunk);
        });
        incoming.on("error", fail);
        incoming.on("end", () => {
          try {
            const decoded: unknown = JSON.parse(Buffer.concat(chunks).toString());
            resolve({ status: incoming.statusCode ?? 0, body: decoded });
          } catch {
            fail(new Error("the machine room's answer is not JSON"));
          }
        });
      },
    );
    outgoing.on("timeout", () => outgoing.destroy(new Error(`no answer for ${CALL_LIMIT_MS} ms`)));
    outgoing.on("error", fail);
    outgoing.end(sent);
  });
}
