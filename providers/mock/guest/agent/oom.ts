import { internal } from "../../../../src/errors/index.ts";

/** The agent's queue of containers that ran out of memory. Events are given to those who wait in the order in which they asked. */
export class OomEvents {
  readonly #events: string[] = [];
  readonly #waiting: PromiseWithResolvers<string>[] = [];
  #ended = false;

  /** How many calls wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  push(containerId: string): void {
    const first = this.#waiting.shift();
    if (first === undefined) this.#events.push(containerId);
    else first.resolve(containerId);
  }

  /** Pends until there is an event. Rejects with the text of the real agent (rpc.rs get_oom_event) when the sandbox is destroyed. */
  next(): Promise<string> {
    const event = this.#events.shift();
    if (event !== undefined) return Promise.resolve(event);
    if (this.#ended) return Promise.reject(sandboxEnded());
    const waiting = Promise.withResolvers<string>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  end(): void {
    this.#ended = true;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(sandboxEnded());
  }
}

const sandboxEnded = (): Error => internal('""');
