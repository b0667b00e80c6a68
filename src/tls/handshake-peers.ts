import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type ConnectionOptions, connect, createServer, type TlsOptions } from "node:tls";

/** What both ends agreed on. For tests. */
export interface Handshake {
  readonly protocol: string | null;
  readonly cipher: string;
  /** What the client got back of the word it sent. */
  readonly echoed: string;
}

/** One TLS connection over loopback that echoes a word; rejects with the client's or the server's complaint. For tests. */
export async function handshake(server: TlsOptions, client: ConnectionOptions): Promise<Handshake> {
  const listener = createServer(server, (socket) => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  const refusal = new Promise<never>((_, reject) => {
    listener.once("tlsClientError", (error) => reject(error));
  });
  // When the client refuses, nobody asks what the server thought of it.
  refusal.catch(() => undefined);
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo; // a TCP listener's address is never a path
  const socket = connect({ ...client, host: "127.0.0.1", port });
  try {
    await once(socket, "secureConnect");
    // With TLS 1.3 the client is done before the server has judged the client's certificate.
    socket.write("hello");
    const [data] = await Promise.race([once(socket, "data"), refusal]);
    return { protocol: socket.getProtocol(), cipher: socket.getCipher().standardName, echoed: String(data) };
  } finally {
    socket.destroy();
    listener.close();
  }
}
