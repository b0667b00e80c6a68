/** Where an adaptor is in its life. `standby`: another process owns the node. `ending`: told to end. */
export type AdaptorStage = "starting" | "standby" | "attaching" | "recovering" | "serving" | "ending";

/** What the answers are made from; looked at anew for each. */
export interface HealthFacts {
  readonly stage: AdaptorStage;
  /** What is being done or waited for, for people; "" when there is nothing to say. */
  readonly detail: string;
  /** Why calls cannot be served now though the stage would let them. */
  readonly obstacles: readonly string[];
  /** What only a new process can cure. */
  readonly fatal: readonly string[];
}

export interface HealthAnswer {
  readonly ok: boolean;
  readonly stage: AdaptorStage;
  /** One sentence each; also when all is well. */
  readonly reasons: readonly string[];
}

export type HealthQuestion = "startup" | "ready" | "live";

export const HEALTH_QUESTIONS: readonly HealthQuestion[] = ["startup", "ready", "live"];

const SAYS: Readonly<Record<AdaptorStage, string>> = {
  starting: "starting",
  standby: "standing by: another control plane owns the node",
  attaching: "waiting for the shim-proxy",
  recovering: "recovering what the journal and the shim-proxy hold",
  serving: "serving",
  ending: "shutting down",
};

/**
 * What probes are told. Never about pods: a tenant's pod that fails is no reason to restart what serves the others, and an adaptor
 * that is restarted for it would not mend it.
 */
export class Health {
  readonly #facts: () => HealthFacts;
  #wasStarted = false;

  constructor(facts: () => HealthFacts) {
    this.#facts = facts;
  }

  /**
   * startup: configured, the journal's folder usable, and standing by or recovered; once true it stays true. ready: as startup,
   * and calls can be served now, or would be by taking over. live: the event loop answers, and nothing that only a restart cures.
   */
  answer(question: HealthQuestion): HealthAnswer {
    const facts = this.#facts();
    const says = `${SAYS[facts.stage]}${facts.detail === "" ? "" : `: ${facts.detail}`}`;
    const { stage } = facts;
    if (question === "live") {
      const ok = facts.fatal.length === 0;
      return { ok, stage, reasons: ok ? [says] : facts.fatal };
    }
    const problems = [...facts.fatal, ...facts.obstacles];
    const ready = problems.length === 0 && (stage === "standby" || stage === "serving");
    if (ready) this.#wasStarted = true;
    const ok = ready || (question === "startup" && this.#wasStarted);
    return { ok, stage, reasons: [says, ...problems] };
  }
}
