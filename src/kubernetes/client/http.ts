import { type ClientRequest, type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { tooLarge } from "../../errors/index.ts";
import type { Endpoint } from "./access.ts";

export interface HttpRequest {
  readonly method: string;
  /** With its query, from the API server's root. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  readonly signal: AbortSignal;
}

/** Most bytes of an answer, and of one line of a watch: etcd keeps objects of 1.5 MB, and lists come in pages. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;
const MAX_LINE_BYTES = 8 * 1024 * 1024;

/** Sends one request; resolves with the head of the answer. Rejects with Node's own error, or the signal's reason. */
export async function send(endpoint: Endpoint, request: HttpRequest): Promise<IncomingMessage> {
  try {
    return await sendOnce(endpoint, request);
  } catch (error) {
    // A connection from the pool that the server was closing: nothing was lost by it, and nothing is by asking again.
    if (request.method === "GET" && error instanceof StaleConnection && !request.signal.aborted) {
      return await sendOnce(endpoint, request);
    }
    throw error;
  }
}

class StaleConnection extends Error {}

async function sendOnce(endpoint: Endpoint, request: HttpRequest): Promise<IncomingMessage> {
  const { signal } = request;
  const options = await endpoint.requestOptions();
  signal.throwIfAborted();
  const start = endpoint.server.startsWith("http:") ? requestPlain : requestTls;
  return await new Promise((resolve, reject) => {
    const outgoing: ClientRequest = start(`${endpoint.server}${request.path}`, {
      ...options,
      method: request.method,
      headers: {
        ...options.headers,
        ...request.headers,
        // Node sends a DELETE's body without its length otherwise.
        ...(request.body !== undefined && { "content-length": Buffer.byteLength(request.body) }),
      },
      signal,
    });
    outgoing.on("response", resolve);
    // Stays: an error may come after the answer's head, and is then the body's to tell.
    outgoing.on("error", (error) => {
      if (signal.aborted) reject(signal.reason);
      else if (outgoing.reusedSocket && "code" in error && error.code === "ECONNRESET") {
        reject(new StaleConnection(error.message, { cause: error }));
      } else reject(error);
    });
    outgoing.end(request.body);
  });
}

/** The whole body as text. */
export async function readBody(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer) {
    if (!Buffer.isBuffer(chunk)) continue;
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw tooLarge(`an answer of the API server is over ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The body's lines as they come. Ends with the body; leaving the loop closes the connection. */
export async function* readLines(answer: IncomingMessage): AsyncGenerator<string> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  for await (const chunk of answer) {
    if (!Buffer.isBuffer(chunk)) continue;
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...rest, chunk.subarray(from, end)]).toString("utf8");
      rest = [];
      restBytes = 0;
      from = end + 1;
      if (line.trim() !== "") yield line;
    }
    if (from < chunk.length) {
      rest.push(chunk.subarray(from));
      restBytes += chunk.length - from;
      if (restBytes > MAX_LINE_BYTES)
        throw tooLarge(`one event of the API server is over ${MAX_LINE_BYTES} bytes`);
    }
  }
}
