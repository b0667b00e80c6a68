import { describeError } from "../errors/index.ts";
import type { SandboxDeps } from "./ports.ts";

type Deps = Pick<SandboxDeps, "clock" | "log">;

/** At most one thing that is to happen to each sandbox later. */
export class Timers {
  readonly #deps: Deps;
  readonly #cancels = new Map<string, () => void>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Replaces what was to happen. A failure of `work` is logged, since nobody waits for it. */
  schedule(id: string, afterMs: number, work: () => void): void {
    this.cancel(id);
    const fire = (): void => {
      this.#cancels.delete(id);
      try {
        work();
      } catch (error) {
        this.#deps.log.error("a sandbox could not be given up", {
          sandboxId: id,
          error: describeError(error),
        });
      }
    };
    this.#cancels.set(id, this.#deps.clock.schedule(afterMs, fire));
  }

  cancel(id: string): void {
    this.#cancels.get(id)?.();
    this.#cancels.delete(id);
  }

  cancelAll(): void {
    for (const cancel of this.#cancels.values()) cancel();
    this.#cancels.clear();
  }
}
