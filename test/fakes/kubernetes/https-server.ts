import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClusterAccess } from "../../../src/kubernetes/client/index.ts";
import { issueVmIdentity } from "../../../src/tls/index.ts";
import { type FakeApi, failure } from "./fake-api.ts";

/** The fake on a TLS socket, and a pod's service account for it. */
export interface FakeApiServer extends AsyncDisposable {
  readonly access: ClusterAccess & { readonly kind: "in-cluster" };
  /** An administrator's, outside the cluster; with the first token. */
  readonly kubeconfigFile: string;
  /** As the kubelet does it: the server knows only the new one. */
  renewToken(token: string): Promise<void>;
  /** How many connections were opened. */
  connections(): number;
  /** Cuts every connection, and takes none until `start`. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Serves the fake over https on a loopback port. */
export async function serveFakeApi(api: FakeApi, firstToken = "first-token"): Promise<FakeApiServer> {
  const tls = await issueVmIdentity({ serverName: "localhost", nowMs: Date.now() });
  const folder = await mkdtemp(join(tmpdir(), "fake-api-"));
  let token = firstToken;
  let connections = 0;
  const server = createServer(
    { cert: tls.serverCertPem, key: tls.serverKeyPem.reveal() },
    (incoming, outgoing) => {
      if (incoming.headers.authorization !== `Bearer ${token}`)
        sendJson(outgoing, failure(401, "Unauthorized", "Unauthorized"));
      else void answer(api, incoming, outgoing);
    },
  );
  server.on("secureConnection", () => connections++);
  // Below TLS: closeAllConnections() knows nothing of one whose handshake is not done, and `close` would wait minutes for it.
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const listen = async (port: number): Promise<number> => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("the server has no port");
    return address.port;
  };
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    server.close();
    for (const socket of sockets) socket.destroy();
    await once(server, "close");
  };
  const renewToken = async (next: string): Promise<void> => {
    token = next;
    await writeFile(join(folder, "token"), next);
  };
  await renewToken(token);
  await writeFile(join(folder, "ca.crt"), tls.caPem);
  const port = await listen(0);
  const kubeconfigFile = join(folder, "kubeconfig");
  await writeFile(kubeconfigFile, kubeconfigText({ port, caPem: tls.caPem, token }));
  return {
    access: { kind: "in-cluster", host: "localhost", port: String(port), serviceAccountDir: folder },
    kubeconfigFile,
    renewToken,
    connections: () => connections,
    stop,
    start: async () => void (await listen(port)),
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function answer(api: FakeApi, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  const given = api.handle(
    {
      method: incoming.method ?? "GET",
      url: new URL(incoming.url ?? "/", "https://localhost"),
      contentType: incoming.headers["content-type"] ?? "",
      body: Buffer.concat(chunks).toString("utf8"),
    },
    outgoing,
  );
  if (given === undefined) incoming.socket.destroy();
  else if (given !== "streams") sendJson(outgoing, given);
}

function sendJson(
  outgoing: ServerResponse,
  given: Exclude<ReturnType<FakeApi["handle"]>, "streams" | undefined>,
): void {
  outgoing.writeHead(given.status, { "content-type": "application/json", ...given.headers });
  outgoing.end(JSON.stringify(given.body));
}

const kubeconfigText = (of: {
  readonly port: number;
  readonly caPem: string;
  readonly token: string;
}): string =>
  JSON.stringify({
    clusters: [
      {
        name: "c",
        cluster: {
          server: `https://localhost:${of.port}/`,
          "certificate-authority-data": Buffer.from(of.caPem).toString("base64"),
        },
      },
    ],
    users: [{ name: "u", user: { token: of.token } }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
  });
