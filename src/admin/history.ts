import type { Clock } from "../platform/index.ts";
import type { LifecycleNotice, PodRef } from "../sandbox/index.ts";

/** How many sandboxes are remembered; those of which nothing was heard for longest go first. */
const MAX_SANDBOXES = 300;
/** How many things of one sandbox; the oldest go first. */
const MAX_ENTRIES = 100;
const MAX_CLOUD_ERRORS = 10;

/** One thing that happened to a sandbox. */
export interface TimelineEntry {
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  readonly what: "done" | "failed" | "waiting" | "link" | "loss" | "vm-gone" | "abandoned";
  /** Which step; "" for what is none. */
  readonly step: string;
  readonly text: string;
  readonly durationMs?: number;
}

/** What a cloud refused or failed. */
export interface CloudError {
  readonly atMs: number;
  readonly step: string;
  readonly kind: string;
  readonly text: string;
}

/** What is remembered of a sandbox, also of one that is gone. */
export interface SandboxHistory {
  readonly pod: PodRef | undefined;
  readonly vmName: string;
  readonly timeline: readonly TimelineEntry[];
  readonly cloudErrors: readonly CloudError[];
  readonly losses: number;
}

interface Memory {
  pod: PodRef | undefined;
  vmName: string;
  readonly timeline: TimelineEntry[];
  readonly cloudErrors: CloudError[];
  losses: number;
}

/** What happened in the lives of pods since this process owns the node: bounded, in memory, without secrets. */
export class History {
  readonly #clock: Clock;
  /** In the order in which they were heard of last. */
  readonly #memories = new Map<string, Memory>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  readonly note = (notice: LifecycleNotice): void => {
    if (notice.kind === "orphan" || notice.kind === "reaper-round") return;
    const id = "sandboxId" in notice ? notice.sandboxId : notice.pod?.sandboxId;
    if (id === undefined) return;
    const memory = this.#memoryOf(id);
    if ("vmName" in notice && notice.vmName !== "") memory.vmName = notice.vmName;
    if ("pod" in notice && notice.pod !== undefined) memory.pod = notice.pod;
    const entry = entryOf(notice);
    const last = memory.timeline.at(-1);
    // A cloud is asked again and again, and says the same.
    if (entry.what === "waiting" && last?.what === "waiting" && last.text === entry.text) return;
    push(memory.timeline, { atMs: this.#clock.wallMs(), ...entry }, MAX_ENTRIES);
    if (notice.kind === "loss") memory.losses++;
    if (notice.kind === "failed" && notice.step.startsWith("vm.")) {
      const { kind, message } = notice.error;
      push(
        memory.cloudErrors,
        { atMs: this.#clock.wallMs(), step: notice.step, kind, text: message },
        MAX_CLOUD_ERRORS,
      );
    }
  };

  of(sandboxId: string): SandboxHistory | undefined {
    return this.#memories.get(sandboxId);
  }

  /** All that are remembered, those that were heard of last at the end. */
  all(): ReadonlyMap<string, SandboxHistory> {
    return this.#memories;
  }

  /** Since when this sandbox waits for that; undefined when it was not told. */
  waitingSinceMs(sandboxId: string, text: string): number | undefined {
    const entry = this.#memories
      .get(sandboxId)
      ?.timeline.findLast((one) => one.what === "waiting" && one.text === text);
    return entry?.atMs;
  }

  #memoryOf(id: string): Memory {
    const known = this.#memories.get(id);
    const memory = known ?? { pod: undefined, vmName: "", timeline: [], cloudErrors: [], losses: 0 };
    this.#memories.delete(id);
    this.#memories.set(id, memory);
    const [oldest] = this.#memories.keys();
    if (this.#memories.size > MAX_SANDBOXES && oldest !== undefined) this.#memories.delete(oldest);
    return memory;
  }
}

function push<T>(list: T[], item: T, most: number): void {
  list.push(item);
  if (list.length > most) list.splice(0, list.length - most);
}

type Told = Exclude<LifecycleNotice, { readonly kind: "orphan" | "reaper-round" }>;

function entryOf(notice: Told): Omit<TimelineEntry, "atMs"> {
  switch (notice.kind) {
    case "done":
      return { what: "done", step: notice.step, text: "", durationMs: notice.durationMs };
    case "failed":
      return {
        what: "failed",
        step: notice.step,
        text: `${notice.error.kind}: ${notice.error.message}`,
        durationMs: notice.durationMs,
      };
    case "progress":
      return { what: "waiting", step: "", text: notice.text };
    case "link": {
      const breaks = notice.breaks > 0 ? ` (broken ${notice.breaks} times so far)` : "";
      const reason = notice.reason === "" ? "" : `: ${notice.reason}`;
      return { what: "link", step: "link", text: `${notice.state}${reason}${breaks}` };
    }
    case "loss":
      return { what: "loss", step: notice.loss, text: notice.detail };
    case "vm-gone":
      return { what: "vm-gone", step: "", text: notice.reason };
    case "abandoned":
      return { what: "abandoned", step: "", text: notice.reason };
  }
}
