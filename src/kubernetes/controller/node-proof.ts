import type { Clock } from "../../platform/index.ts";
import type { ClusterClient } from "../client/index.ts";
import { LEAN_NODES, type NodeState, nodeState } from "./resources.ts";
import { Since } from "./vm-verdict.ts";

/** A node must have been gone, or out of service, for so long between two looks at the API server itself. */
const MIN_BETWEEN_LOOKS_MS = 60_000;

/**
 * Whether nodes are gone for certain. What a watch has told is not enough to delete by: each look asks the API server for the Node,
 * and two looks at least a minute apart must agree, with none in between that found it well.
 */
export class NodeProof {
  readonly #client: Pick<ClusterClient, "find">;
  readonly #clock: Clock;
  readonly #since = new Since();

  constructor(client: Pick<ClusterClient, "find">, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** One look. Throws when the API server cannot be asked. */
  async look(
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly state: NodeState; readonly isProven: boolean }> {
    const state = nodeState(await this.#client.find(LEAN_NODES, { name }, signal));
    if (state === "alive") {
      this.#since.forget(name);
      return { state, isProven: false };
    }
    const forMs = this.#since.note(name, this.#clock.monotonicMs());
    return { state, isProven: forMs >= MIN_BETWEEN_LOOKS_MS };
  }

  /** Forgets nodes that nothing names any more. */
  keepOnly(names: ReadonlySet<string>): void {
    this.#since.keepOnly(names);
  }

  /** A watch saw it: what was found before does not count any more. */
  seenAlive(name: string): void {
    this.#since.forget(name);
  }
}
