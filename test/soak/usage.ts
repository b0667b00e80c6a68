import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

const SAMPLE_MS = 5000;
const SAMPLES_BETWEEN_LINES = 6;

interface Sample {
  readonly memoryMib: number;
  readonly handles: number;
}

export interface Watched {
  readonly name: string;
  readonly pid: number | undefined;
}

/** Resident memory and open handles of processes over time; one that was restarted begins anew under its name. */
export class Usage {
  readonly #watched: () => readonly Watched[];
  readonly #series = new Map<string, { pid: number; samples: Sample[] }>();

  constructor(watched: () => readonly Watched[]) {
    this.#watched = watched;
  }

  async run(signal: AbortSignal, progress: () => string): Promise<void> {
    for (let n = 1; !signal.aborted; n++) {
      await pause(SAMPLE_MS, undefined, { signal }).catch(() => undefined);
      this.#sample();
      if (n % SAMPLES_BETWEEN_LINES === 0)
        console.log(`  ${Math.round((n * SAMPLE_MS) / 1000)} s: ${progress()}`);
    }
  }

  #sample(): void {
    for (const { name, pid } of this.#watched()) {
      const sample = pid === undefined ? undefined : readUsage(pid);
      if (pid === undefined || sample === undefined) continue;
      const series = this.#series.get(name);
      if (series?.pid === pid) series.samples.push(sample);
      else this.#series.set(name, { pid, samples: [sample] });
    }
  }

  /** From the first quarter's largest to the last quarter's: start-up is not growth. */
  worstGrowth(name: string): Sample {
    const samples = this.#series.get(name)?.samples ?? [];
    const quarter = Math.max(1, Math.floor(samples.length / 4));
    const most = (part: readonly Sample[], key: keyof Sample): number =>
      Math.max(0, ...part.map((sample) => sample[key]));
    const early = samples.slice(quarter, 2 * quarter);
    const late = samples.slice(-quarter);
    return {
      memoryMib: most(late, "memoryMib") - most(early, "memoryMib"),
      handles: most(late, "handles") - most(early, "handles"),
    };
  }

  lines(): string[] {
    return [...this.#series].map(([name, { samples }]) => {
      const [first] = samples;
      const last = samples.at(-1);
      if (first === undefined || last === undefined) return `${name}: never seen`;
      const text = (key: keyof Sample, unit: string): string =>
        `${Math.round(first[key])} -> ${Math.round(last[key])}${unit} (at most ${Math.round(Math.max(...samples.map((s) => s[key])))})`;
      return `${name}: memory ${text("memoryMib", " MiB")}, handles ${text("handles", "")}, ${samples.length} samples of its last process`;
    });
  }
}

function readUsage(pid: number): Sample | undefined {
  try {
    const kib = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
    const handles = readdirSync(`/proc/${pid}/fd`).length;
    return Number.isNaN(kib) ? undefined : { memoryMib: kib / 1024, handles };
  } catch {
    return undefined; // It ended between the looks.
  }
}
