import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { issueVmIdentity } from "../../../src/tls/index.ts";
import type { IbmAnswer } from "./answers.ts";
import { ConnectionCut, type FakeIbm } from "./fake-ibm.ts";

/** The fake on a socket: all services at one address, told apart by their paths. */
export interface FakeIbmServer extends AsyncDisposable {
  /** `https://localhost:<port>`. */
  readonly url: string;
  /** The authority of its certificate, made for this server. */
  readonly caPem: string;
}

const MAX_BODY_BYTES = 1024 * 1024;

/** Serves the fake over https on a loopback port with a certificate made now. */
export async function serveFakeIbm(fake: FakeIbm, port = 0): Promise<FakeIbmServer> {
  const tls = await issueVmIdentity({ serverName: "localhost", nowMs: Date.now() });
  const server = createServer(
    { cert: tls.serverCertPem, key: tls.serverKeyPem.reveal() },
    (incoming, outgoing) => void answer(fake, incoming, outgoing),
  );
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return {
    url: `https://localhost:${address.port}`,
    caPem: tls.caPem,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

async function answer(fake: FakeIbm, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const left = new AbortController();
  outgoing.on("close", () => left.abort());
  try {
    const body = await readBody(incoming);
    const url = new URL(incoming.url ?? "/", `https://${incoming.headers.host ?? "localhost"}`);
    const headers = new Map(
      Object.entries(incoming.headers).map(([name, value]): [string, string] => [name, String(value ?? "")]),
    );
    send(outgoing, await fake.handle({ method: incoming.method ?? "GET", url, headers, body }, left.signal));
  } catch (error) {
    if (left.signal.aborted || error instanceof ConnectionCut) incoming.socket.destroy();
    else send(outgoing, { status: 500, headers: {}, body: String(error) });
  }
}

function send(outgoing: ServerResponse, given: IbmAnswer): void {
  outgoing.writeHead(given.status, { ...given.headers });
  outgoing.end(given.body);
}

async function readBody(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming) {
    if (!Buffer.isBuffer(chunk)) continue;
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new ConnectionCut("a body over 1 MiB");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
