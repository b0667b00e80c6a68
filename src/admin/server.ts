import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { describeError, type ErrorKind, invalidRequest, isCaaError, tooLarge } from "../errors/index.ts";
import type { Log } from "../platform/index.ts";
import { placeSocket } from "./placed-socket.ts";
import { type AdminReply, type AdminRoute, MAX_BODY_BYTES } from "./routes.ts";

/** A caller on this machine that takes longer to say what it wants is no caller. */
const REQUEST_TIMEOUT_MS = 10_000;

const STATUS_OF: Partial<Readonly<Record<ErrorKind, number>>> = {
  "invalid-request": 400,
  "invalid-config": 400,
  "not-found": 404,
  "already-exists": 409,
  "wrong-state": 409,
  "too-large": 413,
  unsupported: 501,
  unavailable: 503,
};

/** The admin socket while it is served. */
export interface AdminServer {
  /** This process owns the node now: the socket's own path is its, also when another process's socket is there. */
  takePath(): void;
  close(): Promise<void>;
}

/**
 * Serves `routes` as HTTP on a unix socket (mode 0600) at `path`, or beside it while another process answers there. Routes may be
 * added to the array later. Throws `invalid-config` when no socket can be made there.
 */
export async function serveAdmin(
  path: string,
  routes: readonly AdminRoute[],
  deps: { readonly log: Log },
): Promise<AdminServer> {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    answer(routes, request, response).catch((error: unknown) => {
      deps.log.error("a request on the admin socket failed by an error of ours", {
        error: describeError(error),
      });
      response.destroy();
    });
  });
  const place = await placeSocket(server, path);
  return {
    takePath: () => place.take(),
    async close() {
      place.remove();
      await closed(server);
    },
  };
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function answer(
  routes: readonly AdminRoute[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const left = new AbortController();
  response.once("close", () => left.abort(new Error("the caller has left")));
  let reply: AdminReply;
  try {
    reply = await dispatch(routes, request, left.signal);
  } catch (error) {
    if (left.signal.aborted) return;
    if (!isCaaError(error)) throw error;
    reply = {
      status: STATUS_OF[error.kind] ?? 500,
      json: { error: { kind: error.kind, message: error.message } },
    };
  }
  const [contentType, text] =
    "text" in reply
      ? [reply.contentType, reply.text]
      : ["application/json", `${JSON.stringify(reply.json, undefined, 2)}\n`];
  response.writeHead(reply.status, {
    "Content-Type": contentType,
    "Content-Length": Buffer.byteLength(text),
    Connection: "close",
  });
  response.end(text);
}

async function dispatch(
  routes: readonly AdminRoute[],
  request: IncomingMessage,
  signal: AbortSignal,
): Promise<AdminReply> {
  const { method = "", url: target = "" } = request;
  const url = URL.parse(target, "http://admin");
  if (url === null) throw invalidRequest(`${JSON.stringify(target)} is no path`);
  const here = routes.filter((route) => route.path === url.pathname);
  if (here.length === 0) {
    const paths = [...new Set(routes.map((route) => route.path))].join(", ");
    return fail(404, "not-found", `there is no ${url.pathname}; this socket has ${paths}`);
  }
  const route = here.find((candidate) => candidate.method === method);
  if (route === undefined) {
    const methods = here.map((candidate) => candidate.method).join(" and ");
    return fail(405, "invalid-request", `${url.pathname} takes ${methods}, not ${method}`);
  }
  return await route.handle({ query: url.searchParams, body: await bodyOf(request), signal });
}

const fail = (status: number, kind: ErrorKind, message: string): AdminReply => ({
  status,
  json: { error: { kind, message } },
});

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue;
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw tooLarge(`a request's body has at most ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
