import { setTimeout as pause } from "node:timers/promises";
import type { Child } from "../node/child.ts";
import { isRoot } from "../node/namespaces.ts";
import { never, type Stage } from "../resilience/stage.ts";

const SHORTEST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 2500;

/** A call under which one more control plane dies is refused on purpose. */
const MAX_DEATHS = 2;

type Kind = "kills" | "hand-overs" | "link resets";

/** Breaks things at random times: kills control planes, hands over to new ones, resets links. */
export class Disturber {
  readonly #stage: Stage;
  readonly #random: () => number;
  readonly #done: Record<Kind, number> = { kills: 0, "hand-overs": 0, "link resets": 0 };
  readonly #steady = new Set<string>();
  readonly #pending = new Set<{ deaths: number }>();
  #resetting: Promise<void> = Promise.resolve();
  control: Child;

  constructor(stage: Stage, random: () => number) {
    this.#stage = stage;
    this.#random = random;
    this.control = stage.control();
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const pauseMs = SHORTEST_PAUSE_MS + this.#random() * (LONGEST_PAUSE_MS - SHORTEST_PAUSE_MS);
      await pause(pauseMs, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) await this.#disturb();
    }
  }

  async #disturb(): Promise<void> {
    const choice = this.#random();
    if (choice < 0.7 && isRoot) return await this.#resetLinks();
    await this.#stage.answers();
    if (choice < 0.85 && [...this.#pending].every((call) => call.deaths < MAX_DEATHS)) {
      for (const call of this.#pending) call.deaths++;
      await this.control.kill("SIGKILL");
      this.control = this.#stage.control();
      this.#done.kills++;
    } else {
      const next = this.#stage.control();
      await this.control.kill("SIGTERM");
      this.control = next;
      this.#done["hand-overs"]++;
    }
  }

  /** Does what makes hypervisor calls; control planes are killed under it, but not so often that a call counts as poison. */
  async calls<T>(work: () => Promise<T>): Promise<T> {
    const call = { deaths: 0 };
    this.#pending.add(call);
    try {
      return await work();
    } finally {
      this.#pending.delete(call);
    }
  }

  /** The link of this VM may be reset from now on: no call is under way that a break may cost the pod. */
  mayReset(vmId: string): void {
    this.#steady.add(vmId);
  }

  /** Resolves when the link of this VM will not be reset any more. */
  async mayNotReset(vmId: string): Promise<void> {
    this.#steady.delete(vmId);
    await this.#resetting;
  }

  async #resetLinks(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#resetting = promise;
    try {
      for (const id of this.#steady) {
        await this.#stage.cloud.act(id, { action: "link-reset" }, never);
        this.#done["link resets"]++;
      }
    } finally {
      resolve();
    }
  }

  summary(): string {
    return Object.entries(this.#done)
      .map(([kind, count]) => `${count} ${kind}`)
      .join(", ");
  }
}
