import fc from "fast-check";
import { expect, test } from "vitest";
import type { OptionSpec } from "../../providers/contract.ts";
import { CaaError } from "../errors/index.ts";
import { parseFlags } from "./go-flags.ts";

const SPECS: readonly OptionSpec[] = [
  { flag: "pods-dir", kind: "string", help: "" },
  { flag: "disable-tls", kind: "bool", help: "" },
  { flag: "vxlan-port", kind: "int", help: "" },
  { flag: "tags", kind: "tags", help: "" },
];

const parse = (...args: string[]) => parseFlags("mock", SPECS, args);
const values = (...args: string[]) => Object.fromEntries(parse(...args).values);

test("one dash and two, a value apart and after an equals sign are the same", () => {
  for (const args of [["-pods-dir", "/p"], ["--pods-dir", "/p"], ["-pods-dir=/p"], ["--pods-dir=/p"]]) {
    expect(values(...args)).toEqual({ "pods-dir": ["/p"] });
  }
});

test("a value may begin with a dash, be empty, and hold equals signs and line breaks", () => {
  expect(values("-vxlan-port", "-5", "-pods-dir", "", "-tags", "a=b,c=d\ne")).toEqual({
    "vxlan-port": ["-5"],
    "pods-dir": [""],
    tags: ["a=b,c=d\ne"],
  });
});

test("a switch alone is true and takes its value only after an equals sign", () => {
  expect(values("-disable-tls", "-vxlan-port", "1")).toEqual({
    "disable-tls": ["true"],
    "vxlan-port": ["1"],
  });
  expect(values("-disable-tls=false")).toEqual({ "disable-tls": ["false"] });
  expect(() => parse("-disable-tls", "false", "-vxlan-port", "1")).toThrow(
    "unexpected argument \"false\": a switch takes its value after '=': -disable-tls=false",
  );
});

test("a flag given again is kept in order", () => {
  expect(values("-tags", "a=1", "--tags=b=2")).toEqual({ tags: ["a=1", "b=2"] });
});

test("two dashes alone end the flags, and nothing may follow", () => {
  expect(values("-vxlan-port", "1", "--")).toEqual({ "vxlan-port": ["1"] });
  expect(() => parse("--", "-vxlan-port")).toThrow('unexpected argument "-vxlan-port"');
});

test("what Go read no further than is refused", () => {
  for (const arg of ["x", "-", "---x", "-=x"]) expect(() => parse(arg)).toThrow("unexpected argument");
});

test("an unknown flag is named with the nearest known one", () => {
  expect(() => parse("-pod-dir", "/p")).toThrow("unknown flag '-pod-dir'; did you mean -pods-dir?");
  expect(() => parse("--zzz=1")).toThrow(/^unknown flag '-zzz' \('cloud-api-adaptor mock --help'/);
});

test("a flag without its value is named", () => {
  expect(() => parse("-pods-dir")).toThrow("flag -pods-dir needs a value");
});

test("help is asked for in Go's ways and the usual one", () => {
  for (const arg of ["-h", "-help", "--help"]) expect(parse("-vxlan-port", "1", arg).help).toBe(true);
  expect(parse().help).toBe(false);
});

test("any value arrives unchanged, in either form and after any other flag", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.boolean(), (value, joined) => {
      const args = joined ? [`--pods-dir=${value}`] : ["-pods-dir", value];
      expect(values("-disable-tls", ...args, "-vxlan-port=1")).toEqual({
        "disable-tls": ["true"],
        "pods-dir": [value],
        "vxlan-port": ["1"],
      });
    }),
  );
});

test("whatever the command line is, it is read or refused in words", () => {
  const word = fc.oneof(
    fc.constantFrom("-", "--", "-pods-dir", "--tags=", "-disable-tls", "-x", "=", "--=", "-h"),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(word), (args) => {
      try {
        parse(...args);
      } catch (error) {
        expect(error).toBeInstanceOf(CaaError);
      }
    }),
  );
});

test("words that a command takes are kept in their order, and one too many is refused", () => {
  const specs: readonly OptionSpec[] = [{ flag: "watch", kind: "bool", help: "go on" }];
  expect(parseFlags("inspect", specs, ["-watch", "a", "--", "-b"], 2)).toEqual({
    values: new Map([["watch", ["true"]]]),
    words: ["a", "-b"],
    help: false,
  });
  expect(() => parseFlags("inspect", specs, ["a", "b"], 1)).toThrow('unexpected argument "b"');
});
