import type { Clock } from "../../platform/index.ts";
import type { ControllerDeps, TermDeps } from "./deps.ts";
import { Leadership, type Term } from "./leader.ts";
import { NodeProof } from "./node-proof.ts";
import { Releases } from "./releases.ts";
import { ShimProxyRollout } from "./shim-proxy-rollout.ts";
import { Sweeper } from "./sweeper.ts";
import { Watched } from "./watched.ts";

/** How often PeerPods are looked at when none changes. */
const TICK_MS = 15_000;
/** Not being able to talk to the API server for so long is not being ready. */
const SILENT_MS = 60_000;

/** The controller of one cluster: stands by until it has the lease, then works until it has not. */
export class Controller {
  readonly #deps: ControllerDeps;
  readonly #leadership: Leadership;
  readonly #watched: Watched;
  #isLeader = false;

  /** `identity` is this very process's: two that share one would both lead. */
  constructor(deps: ControllerDeps, identity: string) {
    this.#deps = deps;
    this.#watched = new Watched(deps);
    this.#leadership = new Leadership(
      { client: deps.client, clock: deps.clock, log: deps.log, namespace: deps.options.namespace, identity },
      (isLeader) => {
        this.#isLeader = isLeader;
        deps.observe({ kind: "leader", isLeader });
      },
    );
  }

  get isLeader(): boolean {
    return this.#isLeader;
  }

  /** Why it cannot do its work, leading or standing by; empty: it can. */
  obstacles(): readonly string[] {
    const nodes = this.#watched.whyNodesUnknown();
    const peerPods = this.#watched.whyPeerPodsUnknown();
    return [
      ...(this.#leadership.silentMs > SILENT_MS ? ["the lease cannot be read or written"] : []),
      ...(nodes === undefined ? [] : [nodes]),
      ...(peerPods === undefined ? [] : [peerPods]),
    ];
  }

  /** Resolves when the signal has aborted and nothing is under way; rejects on an error of ours. */
  async run(signal: AbortSignal): Promise<void> {
    const ending = new AbortController();
    const all = AbortSignal.any([signal, ending.signal]);
    const watching = this.#watched.run(all);
    try {
      await this.#leadership.run((term) => this.#lead(term), all);
    } finally {
      ending.abort();
      await watching;
    }
  }

  async #lead(term: Term): Promise<void> {
    const ended = new AbortController();
    // When one part fails by an error of ours, the others must not go on as if the term lasted.
    const bounded: Term = {
      signal: AbortSignal.any([term.signal, ended.signal]),
      assertHeld: () => {
        ended.signal.throwIfAborted();
        term.assertHeld();
      },
    };
    const deps: TermDeps = { ...this.#deps, term: bounded };
    const proof = new NodeProof(deps.client, deps.clock);
    const parts = [
      this.#release(deps, proof),
      new Sweeper(deps, this.#watched, proof).run(),
      ...(deps.options.replacesShimProxies ? [new ShimProxyRollout(deps, this.#watched).run()] : []),
    ].map((part) =>
      part.catch((error: unknown) => {
        ended.abort(error);
        throw error;
      }),
    );
    const outcomes = await Promise.allSettled(parts);
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  async #release(deps: TermDeps, proof: NodeProof): Promise<void> {
    const releases = new Releases(deps, this.#watched, proof);
    const wake = new Wake(deps.clock);
    this.#watched.onChange(() => wake.now());
    try {
      while (!deps.term.signal.aborted) {
        if (this.#watched.whyPeerPodsUnknown() === undefined) releases.round();
        await wake.wait(TICK_MS, deps.term.signal);
      }
    } finally {
      this.#watched.onChange(() => undefined);
      await releases.settled();
    }
  }
}

/** A pause that ends early when there is something to do; also when that came while nobody waited. */
class Wake {
  readonly #clock: Clock;
  #isDue = false;
  #end: () => void = () => undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): void {
    this.#isDue = true;
    this.#end();
  }

  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#isDue) {
      const woken = new AbortController();
      this.#end = () => woken.abort();
      // Rejects when it ends early, by the one signal or the other; the caller looks at its own.
      await this.#clock.sleep(ms, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
    }
    this.#isDue = false;
  }
}
