export type Labels<L extends string> = Readonly<Record<L, string>>;

/** A metric as it is declared, once, in a catalogue that docs/metrics.md is held to. */
export interface MetricSpec<L extends string = string> {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly name: string;
  /** One sentence for people: what is counted, in which unit. */
  readonly help: string;
  readonly labels: readonly L[];
  /** Of a histogram. */
  readonly buckets?: keyof typeof BUCKETS;
  /** Of a counter with one label: values whose series are there from the start, so that a rate misses no first event. */
  readonly each?: readonly string[];
  /** Of a counter without labels that we keep ourselves: it is there from the start, too. */
  readonly zero?: boolean;
}

export interface CounterSpec<L extends string = string> extends MetricSpec<L> {
  readonly kind: "counter";
}

export interface GaugeSpec<L extends string = string> extends MetricSpec<L> {
  readonly kind: "gauge";
}

export interface HistogramSpec<L extends string = string> extends MetricSpec<L> {
  readonly kind: "histogram";
}

/** Upper bounds of histograms, seconds. */
export const BUCKETS = {
  /** A new VM takes from seconds (a local one) to many minutes (a cloud in trouble). */
  steps: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600],
  calls: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  writes: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
} as const;
