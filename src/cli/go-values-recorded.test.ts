import { readFileSync } from "node:fs";
import * as v from "valibot";
import { expect, test } from "vitest";
import {
  type Reading,
  readDuration,
  readEnvBool,
  readEnvInt,
  readFlagBool,
  readFlagInt,
} from "./go-values.ts";

const RECORDED = v.object({
  values: v.array(
    v.object({
      text: v.string(),
      envInt: v.nullable(v.number()),
      flagInt: v.nullable(v.number()),
      envBool: v.boolean(),
      flagBool: v.nullable(v.boolean()),
      durationNs: v.nullable(v.string()),
    }),
  ),
});

const file = new URL("../../test/fixtures/go-flags/values.json", import.meta.url);
const { values } = v.parse(RECORDED, JSON.parse(readFileSync(file, "utf8")));

const valueRead = <T>(reading: Reading<T>): T | null => (reading.ok ? reading.value : null);
/** JavaScript has no numbers for what is beyond, and no option needs any. */
const exact = (value: number | null): number | null => (Number.isSafeInteger(value) ? value : null);
/** Whole milliseconds, away from zero. */
const wholeMs = (nanoseconds: string): number => {
  const ms = Math.ceil(Math.abs(Number(nanoseconds)) / 1e6);
  return nanoseconds.startsWith("-") ? -ms : ms;
};

test.each(values)(
  "$text is read as Go read it",
  ({ text, envInt, flagInt, envBool, flagBool, durationNs }) => {
    expect(valueRead(readEnvInt(text)), "int variable").toBe(exact(envInt));
    expect(valueRead(readFlagInt(text)), "int flag").toBe(exact(flagInt));
    expect(valueRead(readEnvBool(text)), "bool variable").toBe(envBool);
    expect(valueRead(readFlagBool(text)), "bool flag").toBe(flagBool);
    expect(valueRead(readDuration(text)), "duration").toBe(durationNs === null ? null : wholeMs(durationNs));
  },
);
