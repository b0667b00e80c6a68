import * as v from "valibot";
import type { Plot } from "./plot.ts";
import type { Row } from "./report.ts";

/** A row of the report, with the section that it came from. */
export interface SectionRow extends Row {
  readonly section: string;
}

/** What BENCH_JSON holds, as far as documents are made from it; besides that there are details for people. */
export interface BenchJson {
  readonly date: string;
  readonly machine: {
    readonly cores: number;
    readonly cpu: string;
    readonly memoryGiB: number;
    readonly kernel: string;
    readonly node: string;
  };
  readonly root: boolean;
  readonly quick: boolean;
  /** What stands in the pod VMs. */
  readonly peer: string;
  /** The other adaptor's command; "" when there was none. */
  readonly other: string;
  /** The machine's load. */
  readonly load: { readonly before: number; readonly after: number };
  /** Sections that ended with an error. */
  readonly failures: Readonly<Record<string, string>>;
  readonly rows: readonly SectionRow[];
  /** By name. */
  readonly charts: Readonly<Record<string, Plot>>;
  /** Further tables, in Markdown, by name. */
  readonly tables: Readonly<Record<string, string>>;
}

// JSON has no NaN: a value that could not be computed is null there.
const Figure = v.pipe(
  v.nullable(v.number()),
  v.transform((value) => value ?? Number.NaN),
);
const Values = v.object({
  direct: v.exactOptional(Figure),
  forwarder: v.exactOptional(Figure),
  ours: v.exactOptional(Figure),
  other: v.exactOptional(Figure),
});
const of = v.picklist(["ours", "ours/direct", "ours/forwarder", "ours/other"]);
const Target = v.union([
  v.strictObject({ of, atMost: v.number() }),
  v.strictObject({ of, atLeast: v.number() }),
]);
const SectionRowSchema = v.object({
  section: v.string(),
  what: v.string(),
  unit: v.string(),
  values: Values,
  halves: v.exactOptional(v.tuple([Values, Values])),
  target: v.exactOptional(Target),
});
const PlotSchema = v.object({
  title: v.string(),
  xLabel: v.string(),
  yLabel: v.string(),
  series: v.array(
    v.object({
      name: v.string(),
      colour: v.string(),
      points: v.array(v.tuple([v.number(), v.number()])),
      dashed: v.exactOptional(v.boolean()),
      marks: v.exactOptional(v.boolean()),
      dots: v.exactOptional(v.boolean()),
    }),
  ),
});
const BenchJsonSchema: v.GenericSchema<unknown, BenchJson> = v.object({
  date: v.string(),
  machine: v.object({
    cores: v.number(),
    cpu: v.string(),
    memoryGiB: v.number(),
    kernel: v.string(),
    node: v.string(),
  }),
  root: v.boolean(),
  quick: v.boolean(),
  peer: v.string(),
  other: v.string(),
  load: v.object({ before: v.number(), after: v.number() }),
  failures: v.record(v.string(), v.string()),
  rows: v.array(SectionRowSchema),
  charts: v.record(v.string(), PlotSchema),
  tables: v.record(v.string(), v.string()),
});

/** Throws when it is not what the bench writes. */
export const parseBenchJson = (text: string): BenchJson => v.parse(BenchJsonSchema, JSON.parse(text));
