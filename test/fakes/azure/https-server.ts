import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { issueVmIdentity } from "../../../src/tls/index.ts";
import type { ArmAnswer } from "./answers.ts";
import { answerEntra, type EntraIdentity } from "./entra.ts";
import { ConnectionCut, type FakeAzure } from "./fake-azure.ts";

/** The fake on a socket: Resource Manager and Entra at one address. */
export interface FakeAzureServer extends AsyncDisposable {
  /** `https://localhost:<port>`: resource manager endpoint and authority host alike. */
  readonly url: string;
  /** The authority of its certificate, made for this server. */
  readonly caPem: string;
}

const MAX_BODY_BYTES = 1024 * 1024;

/** Serves the fake over https on a loopback port with a certificate made now. */
export async function serveFakeAzure(
  fake: FakeAzure,
  identity: EntraIdentity,
  port = 0,
): Promise<FakeAzureServer> {
  const tls = await issueVmIdentity({ serverName: "localhost", nowMs: Date.now() });
  const server = createServer(
    { cert: tls.serverCertPem, key: tls.serverKeyPem.reveal() },
    (incoming, outgoing) => void answer(fake, identity, { incoming, outgoing }),
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

interface Exchange {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
}

async function answer(fake: FakeAzure, identity: EntraIdentity, exchange: Exchange): Promise<void> {
  const { incoming, outgoing } = exchange;
  const left = new AbortController();
  outgoing.on("close", () => left.abort());
  try {
    const body = await readBody(incoming);
    const url = new URL(incoming.url ?? "/", `https://${incoming.headers.host ?? "localhost"}`);
    const entra = answerEntra(fake, identity, { url, body });
    send(outgoing, entra ?? (await fake.handle(toRequest(incoming, url, body), left.signal)));
  } catch (error) {
    if (left.signal.aborted || error instanceof ConnectionCut) incoming.socket.destroy();
    else send(outgoing, { status: 500, headers: {}, body: String(error) });
  }
}

function toRequest(incoming: IncomingMessage, url: URL, body: string): Parameters<FakeAzure["handle"]>[0] {
  const headers = new Map(
    Object.entries(incoming.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(", ") : (value ?? ""),
    ]),
  );
  return { method: incoming.method ?? "GET", url, headers, body };
}

function send(outgoing: ServerResponse, given: ArmAnswer): void {
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
