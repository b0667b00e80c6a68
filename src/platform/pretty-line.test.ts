import { expect, test } from "vitest";
import { prettyLine } from "./pretty-line.ts";

const line = (fields: object): string =>
  `${JSON.stringify({ level: "info", time: "2026-11-26T02:51:05.123Z", component: "adaptor", ...fields })}\n`;

test("time, level, part and message come first, fields after them, the error last", () => {
  const given = line({
    error: "no room",
    msg: "StartVM failed",
    pod: "default/web",
    durationMs: 5012,
    level: "warn",
  });
  expect(prettyLine(given, false)).toBe(
    "02:51:05.123 warn  adaptor: StartVM failed pod=default/web durationMs=5012 no room\n",
  );
});

test("a value with blanks is quoted, an empty one shows, an object is JSON", () => {
  expect(prettyLine(line({ msg: "m", reason: "a b", empty: "", list: [1] }), false)).toContain(
    'm reason="a b" empty="" list=[1]\n',
  );
});

test("colours are added where they are wanted, and are all that differs", () => {
  const given = line({ msg: "m", pod: "a/b", error: "e" });
  const coloured = prettyLine(given, true);
  expect(coloured).toContain("\x1b[32minfo \x1b[0m");
  expect(coloured.replaceAll(/\p{Cc}\[\d+m/gu, "")).toBe(prettyLine(given, false));
});

test("what a pod or a cloud wrote cannot steer the terminal", () => {
  expect(prettyLine(line({ msg: "a\x1b[2Jb", reason: "c\u009b1md\r" }), false)).not.toMatch(/\p{Cc}(?!$)/u);
});

test("a line that is no JSON passes as it is", () => {
  expect(prettyLine("trouble\n", true)).toBe("trouble\n");
});
