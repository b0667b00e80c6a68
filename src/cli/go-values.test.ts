import { expect, test } from "vitest";
import {
  readDuration,
  readEnvBool,
  readEnvInt,
  readFlagBool,
  readFlagInt,
  readList,
  readTags,
} from "./go-values.ts";

test.each([
  ["30", 30, false],
  ["-1", -1, false],
  ["+7", 7, false],
  ["010", 10, false],
  ["30GB", 30, true],
  [" 30", 30, true],
  ["1.5", 1, true],
  ["0x10", 0, true],
])("an int variable %j is %d as Go's scanner reads it", (text, value, odd) => {
  const reading = readEnvInt(text);
  expect(reading).toMatchObject({ ok: true, value });
  expect("odd" in reading).toBe(odd);
});

test.each(["", "GB30", "\n30", "--3", "99999999999999999999"])("an int variable %j is refused", (text) => {
  expect(readEnvInt(text)).toMatchObject({ ok: false });
});

test.each([
  ["30", 30],
  ["-1", -1],
  ["0x1F", 31],
  ["0b101", 5],
  ["0o17", 15],
  ["017", 15],
  ["1_000", 1000],
  ["0x_1f", 31],
  ["0", 0],
])("an int flag %j is %d as Go's ParseInt reads it", (text, value) => {
  expect(readFlagInt(text)).toMatchObject({ ok: true, value });
});

test.each(["30GB", "", "1__0", "_1", "08", "1e5", "0x", "1_", "1.0", " 1"])(
  "an int flag %j is refused",
  (text) => {
    expect(readFlagInt(text)).toMatchObject({ ok: false });
  },
);

test("a bool variable is true only for 1 and true, and anything unusual is said to be false", () => {
  for (const text of ["1", "true", "TRUE", "tRuE"])
    expect(readEnvBool(text)).toEqual({ ok: true, value: true });
  for (const text of ["0", "false", "False"]) expect(readEnvBool(text)).toEqual({ ok: true, value: false });
  for (const text of ["yes", "on", "t", " true", "2"]) {
    expect(readEnvBool(text)).toMatchObject({
      ok: true,
      value: false,
      odd: expect.stringContaining("false"),
    });
  }
});

test("a bool flag takes the words of Go's ParseBool only", () => {
  for (const text of ["1", "t", "T", "true", "TRUE", "True"])
    expect(readFlagBool(text)).toMatchObject({ value: true });
  for (const text of ["0", "f", "F", "false"]) expect(readFlagBool(text)).toMatchObject({ value: false });
  for (const text of ["yes", "tRuE", ""]) expect(readFlagBool(text)).toMatchObject({ ok: false });
});

test.each([
  ["5m", 300_000],
  ["1h30m", 5_400_000],
  ["1.5h", 5_400_000],
  ["300ms", 300],
  [".5s", 500],
  ["1.s", 1000],
  ["0", 0],
  ["-0", 0],
  ["-5m", -300_000],
  ["+2s", 2000],
  ["100us", 1],
  ["100µs", 1],
  ["100μs", 1],
  ["1h0m0s", 3_600_000],
])("the duration %j is %d ms", (text, value) => {
  expect(readDuration(text)).toEqual({ ok: true, value });
});

test.each(["5", "", "m", ".m", "5 m", "5minutes", "1d", "5m ", "1e3s", "3000000h", "-"])(
  "the duration %j, which Go ignored, is refused",
  (text) => {
    expect(readDuration(text)).toMatchObject({ ok: false });
  },
);

test("the items of a list are trimmed and empty ones dropped", () => {
  expect(readList(" a, b,,c ,")).toEqual(["a", "b", "c"]);
  expect(readList(",")).toEqual([]);
});

test("tags are split at the first equals sign and trimmed", () => {
  expect(readTags(" a = 1 ,b=x=y,c=")).toEqual({ ok: true, value: { a: "1", b: "x=y", c: "" } });
  expect(readTags("__proto__=1")).toEqual({ ok: true, value: Object.fromEntries([["__proto__", "1"]]) });
});

test("a tag after a bad one, which Go dropped, is refused; a comma at the end is only odd", () => {
  expect(readTags("a=1,b,c=2")).toMatchObject({ ok: false });
  expect(readTags("a=1,,c=2")).toMatchObject({ ok: false });
  expect(readTags("=1")).toMatchObject({ ok: false });
  expect(readTags("a=1,")).toEqual({ ok: true, value: { a: "1" }, odd: expect.any(String) });
});
