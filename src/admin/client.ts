import { connect, type Socket } from "node:net";
import { unavailable } from "../errors/index.ts";

/** What an adaptor said. */
export interface AdminAnswer {
  readonly status: number;
  readonly body: string;
}

export interface AdminRequest {
  readonly method: "GET" | "PUT";
  /** With its query. */
  readonly path: string;
  readonly body?: string;
  readonly timeoutMs: number;
}

/** A status of a node with hundreds of pods, and a console. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/**
 * Asks the adaptor behind an admin socket. HTTP/1.0 by hand: one request, and the answer ends with the connection. Node's HTTP
 * client would cost a probe, which the kubelet starts every few seconds, four times the time and 15 MB.
 * Throws `unavailable`, saying what to do, when nobody answers.
 */
export async function askAdmin(socketPath: string, request: AdminRequest): Promise<AdminAnswer> {
  let text: string;
  try {
    text = await exchange(connect(socketPath), request);
  } catch (cause) {
    throw unavailable(
      `no adaptor answers on ${socketPath} (${reasonOf(cause)}); is it running, and is this the socket of PEERPODS_ADMIN_SOCKET? "cloud-api-adaptor journal show" works without it`,
      { cause },
    );
  }
  const [, status] = /^HTTP\/1\.[01] (\d{3}) /.exec(text) ?? [];
  const headEnd = text.indexOf("\r\n\r\n");
  if (status === undefined || headEnd < 0)
    throw unavailable(
      `what answers on ${socketPath} is no adaptor; give the socket of PEERPODS_ADMIN_SOCKET`,
    );
  return { status: Number(status), body: text.slice(headEnd + 4) };
}

function exchange(socket: Socket, { method, path, body = "", timeoutMs }: AdminRequest): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer for ${timeoutMs / 1000} s`)));
    socket.on("data", (chunk) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) socket.destroy(new Error("the answer does not end"));
    });
    socket.once("error", reject);
    // After an error too; then the promise is settled already.
    socket.once("close", () => resolve(Buffer.concat(chunks).toString()));
    socket.write(`${method} ${path} HTTP/1.0\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  });
}

/** In the words of a person who does not know Node's names for it. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const code = "code" in cause ? cause.code : undefined;
  if (code === "ENOENT") return "there is no such socket";
  if (code === "ECONNREFUSED") return "nobody listens";
  if (code === "EACCES") return "it is not yours to open; try as root";
  return cause.message;
}
