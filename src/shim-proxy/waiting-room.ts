import type { Socket } from "node:net";

/** Connections that come before there is somebody to serve them. What their shims write stays in the sockets' buffers. */
export class WaitingRoom {
  readonly #waiting: Socket[] = [];
  #accept: ((socket: Socket) => void) | undefined;

  /** Takes a new connection. */
  enter(socket: Socket): void {
    if (this.#accept !== undefined) {
      this.#accept(socket);
      return;
    }
    // One that breaks here ends nothing but itself.
    socket.on("error", () => undefined);
    this.#waiting.push(socket);
  }

  /** Hands over those that wait and are still there, in their order, and from now on all others at once. */
  open(accept: (socket: Socket) => void): void {
    this.#accept = accept;
    for (const socket of this.#waiting.splice(0)) if (!socket.destroyed) accept(socket);
  }

  /** Breaks the connections of those that wait. */
  close(): void {
    for (const socket of this.#waiting.splice(0)) socket.destroy();
  }
}
