import { expect, test } from "vitest";
import type { OptionSpec } from "../../providers/contract.ts";
import { type OptionResult, readOptions } from "./options.ts";

const SPECS: readonly OptionSpec[] = [
  { flag: "name", env: "NAME", kind: "string", default: "peer", help: "the name" },
  { flag: "token", env: "TOKEN", kind: "string", secret: true, help: "the token" },
  { flag: "size", env: "SIZE", kind: "int", default: "10", help: "GiB" },
  { flag: "cvm", env: "CVM", kind: "bool", default: "true", help: "confidential" },
  { flag: "wait", env: "WAIT", kind: "duration", default: "5m", help: "how long" },
  { flag: "zones", env: "ZONES", kind: "list", help: "zones" },
  { flag: "tags", env: "TAGS", kind: "tags", help: "tags" },
];

function read(
  env: Record<string, string>,
  flags: Record<string, readonly string[]> = {},
  specs: readonly OptionSpec[] = SPECS,
): OptionResult {
  return readOptions(specs, { env, flags: new Map(Object.entries(flags)) });
}

test("a flag wins over its variable, and the variable over the default", () => {
  expect(read({}).string("name")).toBe("peer");
  expect(read({ NAME: "env" }).string("name")).toBe("env");
  expect(read({ NAME: "env" }, { name: ["first", "last"] }).string("name")).toBe("last");
});

test("an empty variable is unset", () => {
  const options = read({ NAME: "", SIZE: "", CVM: "", WAIT: "", ZONES: "", TAGS: "" });
  expect(options.problems).toEqual([]);
  expect(options.warnings).toEqual([]);
  expect(options.string("name")).toBe("peer");
  expect(options.int("size")).toBe(10);
  expect(options.bool("cvm")).toBe(true);
  expect(options.durationMs("wait")).toBe(300_000);
  expect(options.list("zones")).toEqual([]);
  expect(options.tags("tags")).toEqual({});
});

test("an empty flag goes back to the default and says which variable it hides", () => {
  const options = read({ NAME: "env", ZONES: "a" }, { name: [""], zones: ["", "b"] });
  expect(options.string("name")).toBe("peer");
  expect(options.list("zones")).toEqual(["b"]);
  expect(options.warnings).toEqual([
    "-name is given empty, so NAME does not count",
    "-zones is given empty, so ZONES does not count",
  ]);
});

test("lists and tags of variable and flags add up, variable first", () => {
  const options = read({ ZONES: "a, b", TAGS: "x=1,y=1" }, { zones: ["c", "d"], tags: ["y=2", "z=3"] });
  expect(options.list("zones")).toEqual(["a", "b", "c", "d"]);
  expect(options.tags("tags")).toEqual({ x: "1", y: "2", z: "3" });
});

test("a value on which Go acted keeps its meaning and is warned about", () => {
  const options = read({ SIZE: "30GB", CVM: "yes", NAME: "peer \n" });
  expect(options.int("size")).toBe(30);
  expect(options.bool("cvm")).toBe(false);
  expect(options.string("name")).toBe("peer \n");
  expect(options.problems).toEqual([]);
  expect(options.warnings).toEqual([
    'NAME="peer \\n" begins or ends with white space, which is kept',
    "SIZE=30GB is read as 30, as the Go adaptor did; write 30",
    "CVM=yes is read as false, as the Go adaptor did; write true or false",
  ]);
});

test("all values that Go ignored are reported together, with key, value and accepted form", () => {
  const options = read({ SIZE: "big", WAIT: "5", TAGS: "a=1,b" });
  expect(options.problems).toEqual([
    "SIZE=big: expected a whole number such as 30",
    "WAIT=5: expected a Go duration such as 300ms, 90s, 5m or 1h30m: the unit is missing",
    'TAGS=a=1,b: expected key=value pairs separated by commas; "b" is none',
  ]);
});

test("a flag that Go refused is a problem under the flag's name, and its variable is not looked at", () => {
  const options = read({ SIZE: "junk" }, { size: ["30GB"] });
  expect(options.problems).toEqual(["-size=30GB: expected a whole number such as 30"]);
});

test("a required option that is unset is named with both its names", () => {
  const specs: readonly OptionSpec[] = [
    { flag: "region", env: "REGION", kind: "string", required: true, help: "where VMs are made" },
    { flag: "images", kind: "list", required: true, help: "image ids" },
  ];
  expect(read({ REGION: "" }, {}, specs).problems).toEqual([
    "REGION (flag -region) is not set; it is required: where VMs are made",
    "-images is not set; it is required: image ids",
  ]);
  expect(read({ REGION: "eu" }, { images: ["a"] }, specs).problems).toEqual([]);
});

test("a secret never appears in a problem or a warning, even when its own check quotes it", () => {
  const specs: readonly OptionSpec[] = [
    {
      flag: "token",
      env: "TOKEN",
      kind: "string",
      secret: true,
      help: "",
      validate: (text) => `${text} is short`,
    },
  ];
  const options = read({}, { token: ["s3cret "] }, specs);
  expect(options.problems).toEqual(["-token=[redacted]: [redacted] is short"]);
  expect(JSON.stringify([options.warnings, options])).not.toContain("s3cret");
  expect(read({ TOKEN: "s3cret" }).secret("token")?.reveal()).toBe("s3cret");
  expect(read({ TOKEN: "s3cret" }).secret("token")?.toString()).toBe("[redacted]");
  expect(read({}).secret("token")).toBeUndefined();
});

test("a secret on the command line is warned about, with the variable to use", () => {
  expect(read({}, { token: ["x"] }).warnings).toEqual([
    "-token: everyone on this machine can read the command line; give it as TOKEN instead",
  ]);
});

test("the check of a spec sees a scalar's text, each item of a list and each pair of tags", () => {
  const seen: string[] = [];
  const validate = (text: string): undefined => {
    seen.push(text);
  };
  const specs = SPECS.map((spec) => ({ ...spec, validate }));
  read({ NAME: "n", SIZE: "30GB", ZONES: "a, b", TAGS: "k = v", TOKEN: "" }, {}, specs);
  expect(seen).toEqual(["n", "30", "true", "5m", "a", "b", "k=v"]);
});

test("asking for what was not declared, or as another kind, is a bug", () => {
  const options = read({});
  expect(() => options.string("nme")).toThrow("option -nme is not declared");
  expect(() => options.int("name")).toThrow("option -name is of kind string");
  expect(() => readOptions([...SPECS, ...SPECS.slice(0, 1)], { env: {}, flags: new Map() })).toThrow(
    "declared twice",
  );
});
