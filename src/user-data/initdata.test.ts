import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseInitdata, encodeInitdata, initdataDigest, parseInitdata } from "./initdata.ts";

const FIXTURES = join(import.meta.dirname, "../../test/fixtures/user-data");
const fixture = (name: string): string => readFileSync(join(FIXTURES, name), "utf8");
const digests: Record<string, { algorithm: string; bytes: number; digest: string }> = JSON.parse(
  fixture("digests.json"),
);

/** What the VM makes up when it gets no initdata (Go: pkg/userdata generateDummyInitdata). */
const DUMMY = `algorithm = "sha256"\nversion = "0.1.0"\n\n[data]\n"aa.toml" = '''\n'''`;

const head = `algorithm = "sha256"\nversion = "0.1.0"\n`;

describe.each(["sha256", "sha384", "sha512"])("the %s fixture", (algorithm) => {
  const name = `initdata-${algorithm}.toml`;
  const toml = fixture(name);

  test.each([
    ["plain", toml],
    ["packed by the stock encoder", fixture(`initdata-${algorithm}.gz.b64`)],
    ["packed and folded", fixture(`initdata-${algorithm}.gz.b64`).replaceAll(/.{60}/g, "$&\r\n  ")],
    ["packed by us", encodeInitdata(toml)],
  ])("gives the stock digest, %s", (_, text) => {
    const initdata = parseInitdata(text);
    expect(initdata).toMatchObject({ algorithm, version: "0.1.0" });
    expect(initdata.toml.equals(Buffer.from(toml))).toBe(true);
    expect(initdata.toml).toHaveLength(digests[name]?.bytes ?? 0);
    expect(initdataDigest(initdata)).toBe(digests[name]?.digest);
    expect(Object.keys(initdata.data)).toEqual(["aa.toml", "cdh.toml", "policy.rego"]);
    expect(initdata.data["aa.toml"]).toContain("http://kbs.example.test:8080");
  });
});

test("the VM's own dummy document has the stock digest", () => {
  expect(initdataDigest(parseInitdata(DUMMY))).toBe(
    digests["(dummy initdata the VM makes when none was sent)"]?.digest,
  );
});

describe("encodeInitdata", () => {
  test("makes the same text of the same document, in standard base64 of gzip without a time", () => {
    const packed = Buffer.from(encodeInitdata(DUMMY), "base64");
    expect(encodeInitdata(DUMMY)).toBe(encodeInitdata(Buffer.from(DUMMY)));
    expect(packed.readUInt32LE(4)).toBe(0);
    expect(gunzipSync(packed).toString()).toBe(DUMMY);
  });

  test("keeps every document's bytes", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z][a-z.]{0,8}$/), fc.string()), (files) => {
        const lines = Object.entries(files).map(
          ([key, value]) => `${JSON.stringify(key)} = ${tomlString(value)}`,
        );
        const toml = `${head}[data]\n${lines.join("\n")}\n`;
        const initdata = parseInitdata(encodeInitdata(toml));
        expect(initdata.toml.toString()).toBe(toml);
        expect({ ...initdata.data }).toEqual({ ...files });
      }),
    );
  });
});

/** A basic TOML string: JSON's, but for the characters that JSON need not escape. */
const tomlString = (value: string): string => JSON.stringify(value).replaceAll("\x7f", "\\u007f");

describe("wrong initdata is refused", () => {
  test.each([
    ["broken TOML", `${head}[data\nx = "y"`, /line 3, column 6/],
    ["a value without quotes", `${head}[data]\npolicy = hello`, /line 4, column \d+, key policy/],
    ["a string that never ends", `${head}[data]\n"aa.toml" = '''\n[x]`, /line \d+, column \d+/],
    ["a key twice", `${head}version = "0.2.0"`, /line 3, column \d+, key version/],
    [
      "no algorithm",
      `version = "0.1.0"`,
      /key algorithm must be one of "sha256", "sha384", "sha512" and is missing/,
    ],
    [
      "another algorithm",
      `version = "0.1.0"\nalgorithm = "md5"`,
      /line 2, column 1, key algorithm must be one of/,
    ],
    [
      "an algorithm of another spelling",
      `algorithm = "SHA256"\nversion = "0.1.0"`,
      /line 1, column 1, key algorithm must/,
    ],
    ["no version", `algorithm = "sha256"`, /key version must be a string, such as "0.1.0" and is missing/],
    [
      "a version that is a number",
      `algorithm = "sha256"\nversion = 1`,
      /line 2, column 1, key version must be a string/,
    ],
    ["data that is no table", `${head}data = "x"`, /line 3, column 1, key data must be a table/],
    [
      "data that is a list of tables",
      `${head}[[data]]\nx = "y"`,
      /line 3, column 1, key data must be a table/,
    ],
    [
      "a number among the data",
      `${head}[data]\n"aa.toml" = '''\nx = 5\n'''\nx = 5`,
      /line 7, column 1, key x in \[data\] must be a string/,
    ],
    ["a misspelt table", `${head}[Data]\nx = "y"`, /line 3, column 1, key Data must be spelled data/],
    [
      "a key that is unsafe in JavaScript",
      `${head}[data]\n__proto__ = "x"`,
      /line 4, column \d+, key __proto__/,
    ],
    ["nothing", " \n ", /is empty/],
    ["base64 of something else", Buffer.from("hello, world").toString("base64"), /does not hold gzip/],
    ["base64 in the URL alphabet", "H4sI-_AAAA", /URL alphabet/],
    ["damaged gzip", encodeInitdata(DUMMY).slice(0, 40), /damaged base64 or gzip/],
    [
      "text that is not UTF-8",
      gzipSync(Buffer.from(`${head}# \xff`, "latin1")).toString("base64"),
      /not UTF-8/,
    ],
  ])("%s", (_, text, message) => {
    expect(() => parseInitdata(text)).toThrow(message);
    expect(() => parseInitdata(text)).toThrow(expect.objectContaining({ kind: "invalid-initdata" }));
  });

  test("a small text that unpacks to a huge one, without unpacking it all", () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, "#")).toString("base64");
    expect(bomb.length).toBeLessThan(128 * 1024);
    expect(() => parseInitdata(bomb)).toThrow(/unpacks to more than 1048576 bytes/);
  });

  test("a text over a mebibyte", () => {
    expect(() => parseInitdata(`${head}#${"x".repeat(1024 * 1024)}`)).toThrow(
      /is 10486\d\d bytes, at most 1048576/,
    );
  });

  test("whatever it is, with our error and no other", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.base64String(),
          fc.string().map((tail) => head + tail),
        ),
        (text) => {
          try {
            parseInitdata(text);
          } catch (error) {
            expect(error).toMatchObject({ kind: "invalid-initdata" });
          }
        },
      ),
    );
  });
});

describe("chooseInitdata", () => {
  const globalInitdata = parseInitdata(fixture("initdata-sha256.gz.b64"));

  test("takes the annotation before the global initdata", () => {
    expect(chooseInitdata(fixture("initdata-sha384.toml"), globalInitdata)?.algorithm).toBe("sha384");
  });

  test("takes the global one when the annotation is absent or empty, as shims send it", () => {
    expect(chooseInitdata(undefined, globalInitdata)).toBe(globalInitdata);
    expect(chooseInitdata("", globalInitdata)).toBe(globalInitdata);
    expect(chooseInitdata("", undefined)).toBeUndefined();
  });

  test("refuses a wrong annotation rather than fall back", () => {
    expect(() => chooseInitdata("algorithm = 1", globalInitdata)).toThrow(/key algorithm/);
  });
});
