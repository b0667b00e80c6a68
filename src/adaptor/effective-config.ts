import type { OwnerIdentity } from "../../providers/contract.ts";
import type { Live } from "../platform/index.ts";
import type { SandboxConfig } from "../sandbox/index.ts";

/** What the cluster has told, on top of what the operator has. */
interface Learned {
  /** "": not known. What the operator says goes before it. */
  readonly clusterId: string;
  /** The own Node's; undefined: it has none. Goes before PEERPODS_LIMIT_PER_NODE. */
  readonly nodeLimit: number | undefined;
}

/** The lifecycle's settings: the operator's, completed by what is learned of the cluster while the process runs. */
export class EffectiveConfig implements Live<SandboxConfig> {
  readonly #base: Live<SandboxConfig>;
  readonly #listeners = new Set<() => void>();
  #learned: Learned = { clusterId: "", nodeLimit: undefined };

  constructor(base: Live<SandboxConfig>) {
    this.#base = base;
    base.onChange(() => this.#tell());
  }

  current(): SandboxConfig {
    const base = this.#base.current();
    const { clusterId, nodeLimit } = this.#learned;
    return {
      ...base,
      limit: nodeLimit ?? base.limit,
      owner: { ...base.owner, clusterId: base.owner.clusterId === "" ? clusterId : base.owner.clusterId },
    };
  }

  onChange(fn: () => void): () => void {
    const listener = (): void => fn();
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Its cluster may become known after whoever keeps this was made. */
  get owner(): OwnerIdentity {
    const current = (): OwnerIdentity => this.current().owner;
    return {
      get clusterId() {
        return current().clusterId;
      },
      nodeName: current().nodeName,
    };
  }

  /** As configured, without what the Node says. */
  get configuredLimit(): number {
    return this.#base.current().limit;
  }

  learn(learned: Partial<Learned>): void {
    this.#learned = { ...this.#learned, ...learned };
    this.#tell();
  }

  #tell(): void {
    for (const fn of [...this.#listeners]) fn();
  }
}
