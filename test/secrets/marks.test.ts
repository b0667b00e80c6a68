import { expect, test } from "vitest";
import { documentMarks, keyMarks, shownMarks } from "./marks.ts";

const SECRET = 'c@nary "quoted" + p/ssw0rd?';
const marks = new Map([["password", SECRET]]);

test.each([
  ["as it is", `a ${SECRET} b`],
  ["in JSON", JSON.stringify({ a: SECRET })],
  ["in a URL", `https://h/?p=${encodeURIComponent(SECRET)}`],
  ["in hex", Buffer.from(SECRET).toString("hex")],
  ...["", "x", "xy", "robot:"].map((before) => [
    `in base64 after ${before.length}`,
    Buffer.from(`${before}${SECRET} and so on`).toString("base64"),
  ]),
  ["in base64 for URLs", Buffer.from(`{"k":"${SECRET}"}`).toString("base64url")],
])("a secret is found %s", (_how, text) => {
  expect(shownMarks(String(text), marks)).toHaveLength(1);
});

test("what is not there is not found", () => {
  expect(shownMarks("c@nary and p/ssw0rd, apart", marks)).toEqual([]);
});

test("any line of a key, and any longer piece of a document, gives it away", () => {
  const key = `-----BEGIN PRIVATE KEY-----\n${"A1b2".repeat(16)}\n${"C3d4".repeat(16)}\n-----END PRIVATE KEY-----\n`;
  const pieces = new Map([...keyMarks("key", key), ...documentMarks("data", `${"e5F6 g7H8 ".repeat(30)}`)]);
  expect(shownMarks(`quoted: ${"C3d4".repeat(16)}`, pieces)[0]).toMatch(/^key, line 2/);
  expect(shownMarks(`quoted: ${"e5F6 g7H8 ".repeat(8)}`, pieces)[0]).toMatch(/^data/);
});
