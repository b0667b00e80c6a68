/** One series of a metric, and its value now. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** How the text for Prometheus is made; see prom-registry.ts. */
export interface Exposition {
  observe(name: string, labels: Readonly<Record<string, string>>, value: number): void;
  text(): Promise<string>;
}
