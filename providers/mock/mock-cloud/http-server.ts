import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import { describeError, invalidConfig } from "../../../src/errors/index.ts";
import type { Clock, Log } from "../../../src/platform/index.ts";
import { ApiError, ERROR_STATUS, type Operation } from "./api.ts";
import { FAULT_TEXTS, type Faults, isAnsweredFault } from "./faults.ts";
import { findRoute, type Route, type Services } from "./routes.ts";

/** Most bytes of a request's body. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
const RETRY_AFTER_DEFAULT_MS = 1000;

export interface ServerDeps extends Services {
  readonly clock: Clock;
  readonly log: Log;
  readonly faults: Faults;
  readonly intercept?: Intercept;
}

/** When a call can be held: arrived, nothing done; or done, not answered. */
export type Moment = "before" | "after";

/** Lets a test stand between the cloud and its client. Call numbers count from 0; `drop` cuts the connection (before: with nothing done). */
export type Intercept = (call: {
  readonly number: number;
  readonly operation: Operation;
  readonly moment: Moment;
}) => Promise<"go" | "drop">;

/** Makes the socket's folder. Throws `invalid-config` when another process answers on the socket. */
export async function claimSocket(socket: string): Promise<void> {
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 });
  if (await answers(socket))
    throw invalidConfig(`a machine room answers on ${socket} already; stop it or choose another -socket`);
}

/** Serves the API on a unix socket that only this user may open (0600), in the place of a stale one. Throws `invalid-config`. */
export async function serveHttp(deps: ServerDeps, socket: string): Promise<{ close(): Promise<void> }> {
  const server = createServer((request, response) => {
    void answer(deps, request, response);
  });
  server.requestTimeout = 0;
  // Bound under another name and moved: the socket never exists with wider rights, and a stale one is replaced.
  const bound = `${socket}.${process.pid}`;
  await rm(bound, { force: true });
  await listen(server, bound);
  await chmod(bound, 0o600);
  await rename(bound, socket);
  return {
    async close() {
      await rm(socket, { force: true });
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

const listen = (server: Server, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", (cause) =>
      reject(invalidConfig(`cannot listen on ${path}: ${cause.message}`, { cause })),
    );
    server.listen(path, () => resolve());
  });

const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });

async function answer(deps: ServerDeps, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // A client that leaves in the middle changes nothing for what it has asked.
  request.on("error", () => undefined);
  response.on("error", () => undefined);
  try {
    const url = new URL(request.url ?? "/", "http://machine-room");
    const route = findRoute(request.method ?? "", url.pathname);
    if (!route) throw new ApiError("not-found", `there is no ${request.method} ${url.pathname} in this API`);
    const body = await readBody(request);
    if (body === undefined) return;
    await act(deps, { route, url, body }, response);
  } catch (error) {
    sendError(deps.log, response, error);
  }
}

interface Asked {
  readonly route: Route;
  readonly url: URL;
  readonly body: unknown;
}

async function act(deps: ServerDeps, { route, url, body }: Asked, response: ServerResponse): Promise<void> {
  const fault = route.operation && deps.faults.meet(route.operation, deps.clock.monotonicMs());
  if (fault && isAnsweredFault(fault.kind))
    throw new ApiError(
      fault.kind,
      FAULT_TEXTS[fault.kind],
      fault.kind === "throttled" ? (fault.retryAfterMs ?? RETRY_AFTER_DEFAULT_MS) : undefined,
    );
  const number = deps.faults.calls.length - 1;
  const held = async (moment: Moment): Promise<boolean> =>
    route.operation !== undefined &&
    (await deps.intercept?.({ number, operation: route.operation, moment })) === "drop";
  if (fault?.kind === "hang") return;
  if (await held("before")) {
    response.destroy();
    return;
  }
  const outcome = await route
    .run(deps, { id: route.id, query: url.searchParams, body })
    .catch((error: unknown) => {
      if (fault?.kind !== "lost") throw error;
      return { status: 200, body: {} };
    });
  if (fault?.kind === "lost" || (await held("after"))) response.destroy();
  else send(response, outcome.status, outcome.body);
}

/** The decoded body, undefined when the client left before its end. Throws ApiError `invalid` for what is not JSON. */
async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request) {
      const data = Buffer.from(chunk);
      bytes += data.length;
      if (bytes > MAX_BODY_BYTES) throw new ApiError("invalid", `the body is over ${MAX_BODY_BYTES} bytes`);
      chunks.push(data);
    }
  } catch (error) {
    if (error instanceof ApiError) throw error;
    return undefined;
  }
  const text = Buffer.concat(chunks).toString();
  if (text === "") return {};
  try {
    const body: unknown = JSON.parse(text);
    return body;
  } catch {
    throw new ApiError("invalid", "the body is not JSON");
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

function sendError(log: Log, response: ServerResponse, error: unknown): void {
  const known = error instanceof ApiError ? error : new ApiError("internal", describeError(error));
  if (known !== error) log.error("the machine room failed", { error: known.message });
  const { kind, message, retryAfterMs } = known;
  if (retryAfterMs !== undefined) response.setHeader("retry-after", `${Math.ceil(retryAfterMs / 1000)}`);
  send(response, ERROR_STATUS[kind], {
    error: { kind, message, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) },
  });
}
