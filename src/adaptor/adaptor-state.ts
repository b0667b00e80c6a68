import { accessSync, constants } from "node:fs";
import type { Provider } from "../../providers/contract.ts";
import type { AdaptorStage, HealthFacts } from "../admin/index.ts";
import { describeError } from "../errors/index.ts";
import type { Journal } from "../journal/index.ts";
import type { ControlPlane, ControlPlaneState } from "../sandbox/index.ts";

/** What this process has of the node while it owns it. */
export interface Ownership {
  readonly epoch: number;
  readonly journal: Journal;
  readonly control: ControlPlane;
  readonly provider: Provider;
}

/** Where this process is in its life: written as it goes on, read by probes and by people. */
export class AdaptorState {
  readonly #stateDir: string;
  #stage: "starting" | "standby" | "ending" | "owner" = "starting";
  #detail = "reading the configuration";
  #ownership: Ownership | undefined;

  constructor(stateDir: string) {
    this.#stateDir = stateDir;
  }

  starting(detail: string): void {
    this.#stage = "starting";
    this.#detail = detail;
  }

  standingBy(): void {
    this.#stage = "standby";
    this.#detail = "";
  }

  owns(ownership: Ownership): void {
    this.#stage = "owner";
    this.#detail = "";
    this.#ownership = ownership;
  }

  /** The journal is closed next. */
  owned(): void {
    this.#ownership = undefined;
  }

  ending(): void {
    this.#stage = "ending";
    this.#detail = "what is under way is left to the next control plane";
  }

  get ownership(): Ownership | undefined {
    return this.#ownership;
  }

  facts(): HealthFacts {
    const fatal = this.#ownership?.control.state.broken ?? [];
    if (this.#stage === "owner" && this.#ownership !== undefined)
      return ownerFacts(this.#ownership.control.state);
    const obstacles = this.#stage === "standby" ? this.#folderObstacle() : [];
    return {
      stage: this.#stage === "owner" ? "starting" : this.#stage,
      detail: this.#detail,
      obstacles,
      fatal,
    };
  }

  /** A standby will need the journal's folder; an owner has the journal open, and says so itself when it cannot write. */
  #folderObstacle(): readonly string[] {
    try {
      accessSync(this.#stateDir, constants.R_OK | constants.W_OK);
      return [];
    } catch (error) {
      return [`the journal's folder cannot be used: ${describeError(error)}; see PEERPODS_STATE_DIR`];
    }
  }
}

function ownerFacts(state: ControlPlaneState): HealthFacts {
  const obstacles = state.obstacle === undefined ? [] : [state.obstacle];
  const base = { obstacles, fatal: state.broken };
  const trouble = state.trouble ?? "";
  if (state.proxy === undefined) return { ...base, stage: "attaching", detail: trouble };
  const stage: AdaptorStage = state.recovered ? "serving" : "recovering";
  return { ...base, stage, detail: stage === "serving" ? "" : trouble };
}
