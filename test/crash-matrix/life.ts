import { newId } from "../shim/played-pod.ts";
import { PlayedAgentSession, PlayedShim, podAnnotations } from "../shim/played-shim.ts";

/** What may happen to one pod; each kind reaches steps that the others do not. */
export const LIFE_KINDS = [
  "whole",
  "pooled",
  "create-fails",
  "delete-fails",
  "shim-leaves",
  "no-start",
] as const;
export type LifeKind = (typeof LIFE_KINDS)[number];

/** Lives that nothing disturbs: their pods have to come through the death of a control plane. */
export const isHealthy = (kind: LifeKind): boolean => kind === "whole" || kind === "pooled";

/** One pod as a stock Go shim drives it, calls only. */
export class Life {
  readonly id: string = newId();
  readonly #shim: PlayedShim;
  readonly #netns: string;
  readonly #pod: string;
  #session: PlayedAgentSession | undefined;
  #dead = false;
  /** The last call that was begun, for messages. */
  at = "nothing";

  constructor(hypervisorSocket: string, pod: string, netns: string) {
    this.#shim = new PlayedShim(hypervisorSocket);
    this.#pod = pod;
    this.#netns = netns;
  }

  /** CreateVM, StartVM, one call to the agent, StopVM. Rejects when one of them fails; a failed StartVM is followed by StopVM. */
  async run(kind: LifeKind): Promise<void> {
    this.at = "CreateVM";
    const agentSocket = await this.#shim.createVm(
      this.id,
      podAnnotations({ name: this.#pod, namespace: "matrix" }),
      this.#netns,
    );
    if (kind === "no-start") return;
    if (kind === "shim-leaves") {
      this.at = "StartVM, leaving";
      const left = this.#shim.startVm(this.id).catch(() => undefined);
      await this.#shim.vmId({ name: this.#pod, namespace: "matrix" }, true, 60_000).catch(() => undefined);
      await this.die();
      await left;
      return;
    }
    this.#mustLive();
    try {
      this.at = "StartVM";
      await this.#shim.startVm(this.id);
      this.at = "Check";
      await this.#checkAgent(agentSocket);
    } catch (error) {
      // As the shim: never repeated, and not said at all by one that was killed.
      if (!this.#dead) await this.#shim.stopVm(this.id).catch(() => undefined);
      throw error;
    }
    this.#mustLive();
    this.at = "StopVM";
    await this.#shim.stopVm(this.id);
    this.at = "the end";
  }

  async #checkAgent(agentSocket: string): Promise<void> {
    this.#mustLive();
    await using session = await PlayedAgentSession.open(agentSocket);
    this.#session = session;
    await session.health.check({ service: "" }, { timeoutMs: 30_000 });
  }

  /** The shim is killed: its connections close, and it never sends StopVM. */
  async die(): Promise<void> {
    this.#dead = true;
    await this.#session?.[Symbol.asyncDispose]();
    await this.#shim.die();
  }

  #mustLive(): void {
    if (this.#dead) throw new Error(`the shim was killed at ${this.at}`);
  }
}
