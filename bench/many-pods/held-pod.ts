import type { PodNetwork } from "../../test/node/test-node.ts";
import { PlayedAgentSession, type PodIdentity } from "../../test/shim/played-shim.ts";
import type { Adaptor } from "../adaptors.ts";
import { BenchPod } from "../pods.ts";

/** How often a stock Go shim asks whether the agent is well. */
export const CHECK_INTERVAL_MS = 5_000;

/** A pod whose shim stays: one connection to the agent with GetOOMEvent and WaitProcess pending, as a stock Go shim keeps it. */
export class HeldPod {
  readonly #pod: BenchPod;
  #session: PlayedAgentSession | undefined;

  constructor(adaptor: Adaptor, network: PodNetwork) {
    this.#pod = new BenchPod(adaptor, network);
  }

  get identity(): PodIdentity {
    return this.#pod.identity;
  }

  /** From CreateVM to the agent's first answer, milliseconds; then the shim's usual calls are left pending. */
  async ready(): Promise<number> {
    const startedMs = performance.now();
    await this.#pod.create();
    await this.#pod.start();
    const session = await PlayedAgentSession.open(this.#pod.socket);
    this.#session = session;
    await session.health.check({ service: "" });
    const ms = performance.now() - startedMs;
    // They pend for the pod's life; their end is no news.
    session.agent.getOOMEvent({}).catch(() => undefined);
    session.agent.waitProcess({ containerId: this.#pod.id, execId: this.#pod.id }).catch(() => undefined);
    return ms;
  }

  /** Throws when the agent does not answer. */
  async check(): Promise<void> {
    if (this.#session === undefined) throw new Error("the pod is not ready yet");
    await this.#session.health.check({ service: "" }, { timeoutMs: 30_000 });
  }

  /** StopVM, as long as it takes, milliseconds. */
  async stop(): Promise<number> {
    const startedMs = performance.now();
    await this.#pod.stop();
    const ms = performance.now() - startedMs;
    await this.leave();
    return ms;
  }

  /** The shim closes its connection. */
  async leave(): Promise<void> {
    await this.#session?.[Symbol.asyncDispose]();
    this.#session = undefined;
  }
}
