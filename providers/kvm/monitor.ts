import type { Clock } from "../../src/platform/index.ts";
import type { KvmDeps } from "./deps.ts";
import { folderOf } from "./qemu-arguments.ts";
import { Qmp } from "./qmp.ts";

const ANSWER_MS = 2_000;

/** Runs `work` on a VM's QMP connection, which is closed when it takes longer than `limitMs` in all. */
export async function withMonitor<T>(
  deps: KvmDeps,
  name: string,
  work: (qmp: Qmp, clock: Clock) => Promise<T>,
  options: { readonly signal: AbortSignal; readonly limitMs?: number },
): Promise<T> {
  const limit = deps.clock.timeout(options.limitMs ?? ANSWER_MS);
  const signal = AbortSignal.any([options.signal, limit]);
  const stream = await deps.host.dial(`${folderOf(deps.config.dir, name)}/qmp`, signal);
  // What goes wrong on the connection ends the reading of it, which throws.
  stream.on("error", () => undefined);
  const close = (): void => {
    stream.destroy(new Error("QEMU's monitor did not answer in time"));
  };
  signal.addEventListener("abort", close, { once: true });
  try {
    signal.throwIfAborted();
    await using qmp = await Qmp.open(stream);
    return await work(qmp, deps.clock);
  } finally {
    signal.removeEventListener("abort", close);
    stream.destroy();
  }
}
