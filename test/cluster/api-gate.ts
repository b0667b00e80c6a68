import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";

/** A port that leads to the API server while it is open: what an outage looks like to one client. */
export class ApiGate implements AsyncDisposable {
  readonly #to: URL;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;

  private constructor(to: URL) {
    this.#to = to;
  }

  static async open(url: string): Promise<ApiGate> {
    const gate = new ApiGate(new URL(url));
    await gate.open();
    return gate;
  }

  /** Cuts all connections and takes no more. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(server, "close");
  }

  /** Takes connections again, at the same port. */
  async open(): Promise<void> {
    const server = createServer((socket) => this.#join(socket));
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (typeof address === "object" && address !== null) this.#port = address.port;
    this.#server = server;
  }

  /** A copy of a kubeconfig file that goes through the gate. */
  async kubeconfig(file: string): Promise<string> {
    const through = `${file}.gate`;
    const text = await readFile(file, "utf8");
    await writeFile(through, text.replaceAll(this.#to.origin, `https://127.0.0.1:${this.#port}`), {
      mode: 0o600,
    });
    return through;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #join(socket: Socket): void {
    const other = connect(Number(this.#to.port), this.#to.hostname);
    for (const [one, end] of [
      [socket, other],
      [other, socket],
    ] as const) {
      this.#sockets.add(one);
      one
        .on("error", () => end.destroy())
        .on("close", () => {
          this.#sockets.delete(one);
          end.destroy();
        });
      one.pipe(end);
    }
  }
}
