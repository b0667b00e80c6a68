import type { Clock } from "../platform/index.ts";
import { BufferPool, DirectReads, SCRATCH_BYTES } from "../ttrpc/index.ts";

/** The memory that frames on their way through the process are in; all connections share it. */
export interface FrameMemory {
  /** Of large frames. */
  readonly buffers: BufferPool;
  /** Reads of a new socket. */
  newReads(): DirectReads;
}

export function makeFrameMemory(clock: Clock): FrameMemory {
  const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  return { buffers: new BufferPool({ clock }), newReads: () => new DirectReads(scratch) };
}
