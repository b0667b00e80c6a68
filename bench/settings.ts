import { type OtherAdaptor, otherAdaptor } from "./peers.ts";

/** So many pods, at most `inFlight` of them starting or stopping at a time. */
export interface Step {
  readonly pods: number;
  readonly inFlight: number;
}

/** How much is measured. */
export interface Effort {
  readonly startUps: number;
  readonly dataPlane: {
    readonly rounds: number;
    readonly checks: number;
    readonly rateMs: number;
    readonly chunks: number;
    readonly reads: number;
  };
  readonly creates: number;
  readonly starts: number;
  readonly bursts: number;
  readonly manyPods: {
    /** Few at a time, more and more of them. */
    readonly steps: readonly RepeatedStep[];
    /** All at once. */
    readonly bursts: readonly RepeatedStep[];
    readonly restMs: number;
    readonly recoveryPods: number;
    readonly recoveries: number;
  };
}

/** Few pods are nothing to measure once. A rest takes its time, and is measured in some of the rounds only. */
export type RepeatedStep = Step & { readonly rounds: number; readonly rests: number };

const QUICK: Effort = {
  startUps: 3,
  dataPlane: { rounds: 2, checks: 200, rateMs: 200, chunks: 16, reads: 400 },
  creates: 6,
  starts: 4,
  bursts: 1,
  manyPods: {
    steps: [
      { pods: 1, inFlight: 1, rounds: 2, rests: 0 },
      { pods: 20, inFlight: 20, rounds: 1, rests: 1 },
      { pods: 100, inFlight: 20, rounds: 1, rests: 1 },
    ],
    bursts: [{ pods: 20, inFlight: 20, rounds: 2, rests: 0 }],
    restMs: 5_000,
    recoveryPods: 100,
    recoveries: 1,
  },
};

const WHOLE: Effort = {
  startUps: 15,
  dataPlane: { rounds: 6, checks: 1000, rateMs: 500, chunks: 60, reads: 2000 },
  creates: 60,
  starts: 16,
  bursts: 4,
  manyPods: {
    steps: [
      { pods: 1, inFlight: 1, rounds: 4, rests: 0 },
      { pods: 20, inFlight: 20, rounds: 2, rests: 2 },
      { pods: 100, inFlight: 20, rounds: 2, rests: 2 },
      { pods: 500, inFlight: 20, rounds: 2, rests: 2 },
    ],
    bursts: [
      { pods: 20, inFlight: 20, rounds: 4, rests: 0 },
      { pods: 100, inFlight: 100, rounds: 2, rests: 0 },
    ],
    // Every shim asks once in it.
    restMs: 5_000,
    recoveryPods: 500,
    recoveries: 3,
  },
};

/** What the bench is told by its environment. */
export interface Settings {
  readonly quick: boolean;
  readonly effort: Effort;
  /** File for everything that was measured; "" is none. */
  readonly jsonFile: string;
  /** Sections to run; all when empty. */
  readonly only: readonly string[];
  /** A real kata-agent to measure with instead of the stub; "" is the stub. */
  readonly agent: string;
  /** Folder with the stock programs of a pod VM; "" is none. */
  readonly peersDir: string;
  /** A text when one is named that cannot be used. */
  readonly other: OtherAdaptor | string | undefined;
}

const listed = (text: string | undefined): readonly string[] =>
  (text ?? "").split(",").filter((one) => one !== "");

export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const quick = env["BENCH_QUICK"] === "1";
  const effort = quick ? QUICK : WHOLE;
  const counts = listed(env["BENCH_PODS"]).map(Number);
  const wanted = (steps: readonly RepeatedStep[]): readonly RepeatedStep[] =>
    steps.filter(({ pods }) => counts.length === 0 || counts.includes(pods));
  const { manyPods } = effort;
  const [steps, bursts] = [wanted(manyPods.steps), wanted(manyPods.bursts)];
  return {
    quick,
    effort: { ...effort, manyPods: { ...manyPods, steps, bursts } },
    jsonFile: env["BENCH_JSON"] ?? "",
    only: listed(env["BENCH_ONLY"]),
    agent: env["BENCH_AGENT"] ?? "",
    peersDir: env["PEERS_DIR"] ?? "",
    other: otherAdaptor(env),
  };
}
