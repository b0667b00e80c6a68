import type { Exposition, Series } from "./exposition.ts";
import type { CounterSpec, GaugeSpec, HistogramSpec, Labels, MetricSpec } from "./specs.ts";

/** Values that are kept elsewhere, as they are at one scrape. */
export interface Report {
  /** For a gauge, or a counter that another part keeps. What no source sets is absent from the answer. */
  set<L extends string>(spec: GaugeSpec<L> | CounterSpec<L>, labels: Labels<L>, value: number): void;
}

/** Asked at every scrape. What it cannot tell it leaves out. */
export type Source = (report: Report) => Promise<void> | void;

interface Observations {
  readonly labels: Readonly<Record<string, string>>;
  readonly values: number[];
}

/** Newest observations of one series that are kept until somebody asks for the metrics for the first time. */
const MAX_PENDING = 512;

/**
 * The metrics of one process. To count is to change a number in a map: prom-client, some MB and 0.1 s, is loaded when the
 * metrics are asked for the first time.
 */
export class MetricSet {
  readonly #specs: readonly MetricSpec[];
  readonly #sources: readonly Source[];
  readonly #onSourceFailed: (error: unknown) => void;
  readonly #counts = new Map<string, Map<string, { labels: Series["labels"]; value: number }>>();
  readonly #pending = new Map<string, Map<string, Observations>>();
  #reported = new Map<string, Series[]>();
  #exposition: Exposition | undefined;
  #rendering: Promise<string> | undefined;

  /** A source that fails is told to `onSourceFailed`; its metrics are absent from that answer. */
  constructor(
    specs: readonly MetricSpec[],
    sources: readonly Source[],
    onSourceFailed: (error: unknown) => void,
  ) {
    this.#specs = specs;
    this.#sources = sources;
    this.#onSourceFailed = onSourceFailed;
    for (const spec of specs) {
      if (spec.zero) this.#add(spec, {}, 0);
      for (const value of spec.each ?? []) this.#add(spec, { [spec.labels[0] ?? ""]: value }, 0);
    }
  }

  add<L extends string>(spec: CounterSpec<L>, labels: Labels<L>, by = 1): void {
    this.#add(spec, labels, by);
  }

  #add(spec: MetricSpec, labels: Series["labels"], by: number): void {
    const series = this.#counts.get(spec.name) ?? new Map();
    this.#counts.set(spec.name, series);
    const key = keyOf(spec, labels);
    const one = series.get(key);
    if (one === undefined) series.set(key, { labels, value: by });
    else one.value += by;
  }

  observe<L extends string>(spec: HistogramSpec<L>, labels: Labels<L>, value: number): void {
    if (this.#exposition !== undefined) {
      this.#exposition.observe(spec.name, labels, value);
      return;
    }
    const series = this.#pending.get(spec.name) ?? new Map<string, Observations>();
    this.#pending.set(spec.name, series);
    const key = keyOf(spec, labels);
    const one = series.get(key) ?? { labels, values: [] };
    series.set(key, one);
    one.values.push(value);
    if (one.values.length > MAX_PENDING) one.values.shift();
  }

  /** The text that Prometheus reads. Two who ask at once get the same answer. */
  render(): Promise<string> {
    this.#rendering ??= this.#renderNow().finally(() => {
      this.#rendering = undefined;
    });
    return this.#rendering;
  }

  async #renderNow(): Promise<string> {
    const exposition = await this.#load();
    const reported = new Map<string, Series[]>();
    const report: Report = {
      set: (spec, labels, value) => {
        const series = reported.get(spec.name) ?? [];
        reported.set(spec.name, series);
        series.push({ labels, value });
      },
    };
    await Promise.all(
      this.#sources.map(async (source) => {
        try {
          await source(report);
        } catch (error) {
          this.#onSourceFailed(error);
        }
      }),
    );
    this.#reported = reported;
    return await exposition.text();
  }

  async #load(): Promise<Exposition> {
    if (this.#exposition !== undefined) return this.#exposition;
    const { promRegistry } = await import("./prom-registry.ts");
    const exposition = promRegistry(this.#specs, (name) => this.#valuesOf(name));
    for (const [name, series] of this.#pending)
      for (const { labels, values } of series.values())
        for (const value of values) exposition.observe(name, labels, value);
    this.#pending.clear();
    this.#exposition = exposition;
    return exposition;
  }

  #valuesOf(name: string): readonly Series[] {
    return this.#reported.get(name) ?? [...(this.#counts.get(name)?.values() ?? [])];
  }
}

/** Label values in the order of the declaration. */
function keyOf(spec: MetricSpec, labels: Series["labels"]): string {
  return spec.labels.map((name) => labels[name] ?? "").join("\0");
}
