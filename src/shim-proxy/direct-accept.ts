import { Socket } from "node:net";
import type { DirectReads } from "../ttrpc/index.ts";

/** A connection of a shim, and its reads if they are ours. */
export interface Accepted {
  readonly socket: Socket;
  /** Undefined: the socket is read as any other. */
  readonly reads: DirectReads | undefined;
}

/**
 * Gives an accepted connection the option `onread`, which Node has for sockets that it dials and not for those that a server accepts: a
 * socket is made anew over the same handle. `handle` is an option of Socket that node:cluster and node:child_process use and the
 * documentation does not name; a Node that does not take it gives back the socket as it came. Only in the turn in which it was
 * accepted, before anything can have been read.
 */
export function withDirectReads(socket: Socket, reads: DirectReads): Accepted {
  const plain: Accepted = { socket, reads: undefined };
  const handle: unknown = Reflect.get(socket, "_handle");
  if (typeof handle !== "object" || handle === null || !("useUserBuffer" in handle)) return plain;
  const direct: unknown = Reflect.construct(Socket, [{ handle, onread: reads.onread }]);
  if (!(direct instanceof Socket) || Reflect.get(direct, "_handle") !== handle) return plain;
  Reflect.set(socket, "_handle", null);
  socket.destroy();
  return { socket: direct, reads };
}
