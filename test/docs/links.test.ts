import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";
import { type Document, inlineCode, parseDocument, ROOT, readDocuments } from "./documents.ts";

const documents = readDocuments();
const byPath = new Map(documents.map((document) => [document.path, document]));

/** Targets of links, code left out. */
function targets({ prose }: Document): readonly string[] {
  return prose
    .join("\n")
    .replaceAll(/`[^`\n]*`/g, "")
    .matchAll(/\]\(([^)\s]+)\)/g)
    .map(([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .toArray();
}

/** What is wrong with a link from a document; undefined if nothing is. */
function brokenLink(from: Document, target: string): string | undefined {
  const [file = "", anchor] = target.split("#");
  const path = file === "" ? from.path : normalize(join(dirname(from.path), file)).replace(/\/$/, "");
  if (!existsSync(join(ROOT, path))) return `${from.path}: ${target} does not exist`;
  if (anchor === undefined) return undefined;
  return byPath.get(path)?.anchors.has(anchor) ? undefined : `${from.path}: ${target} has no such heading`;
}

test("links to files and headings of the repository lead there", () => {
  const links = documents.flatMap((from) => targets(from).map((target) => ({ from, target })));
  expect(links.length).toBeGreaterThan(60);
  expect(links.flatMap(({ from, target }) => brokenLink(from, target) ?? [])).toEqual([]);
});

test("a link that leads nowhere is found", () => {
  const from = parseDocument("docs/some.md", "# One heading\n");
  expect(brokenLink(from, "nowhere.md")).toMatch(/does not exist/);
  expect(brokenLink(from, "errors.md#no-such-heading")).toMatch(/no such heading/);
  expect(brokenLink(from, "errors.md")).toBeUndefined();
});

test("each document in docs/ is in its index", () => {
  const index = byPath.get("docs/README.md");
  const linked = new Set((index ? targets(index) : []).map((target) => normalize(join("docs", target))));
  const unlisted = documents
    .map(({ path }) => path)
    .filter((path) => /^docs\/(providers\/)?[^/]+\.md$/.test(path) && path !== "docs/README.md")
    .filter((path) => !linked.has(path));
  expect(unlisted).toEqual([]);
});

test("each alert's runbook is a heading", () => {
  const rules = readFileSync(join(ROOT, "deploy/alerts/peerpods.yaml"), "utf8");
  const runbooks = [...rules.matchAll(/runbook: (\S+)#(\S+)/g)];
  expect(runbooks).toHaveLength([...rules.matchAll(/- alert: /g)].length);
  const missing = runbooks.filter(([, path = "", anchor = ""]) => !byPath.get(path)?.anchors.has(anchor));
  expect(missing.map(([text]) => text)).toEqual([]);
});

/** Paths in Kata's repository and in the chart of the Go adaptor, which some documents name. */
const OTHERS_PATHS: ReadonlySet<string> = new Set([
  "src/agent",
  "src/runtime",
  "src/runtime-rs",
  "providers/azure.yaml",
]);
const OURS = /^(?:src|test|deploy|docs|providers|bench|proto|bin)\/[\w./*-]*$/;

/** Whether such a path is there; `*` stands for any end of a name. */
function isThere(path: string): boolean {
  const star = path.indexOf("*");
  return existsSync(join(ROOT, star < 0 ? path : dirname(path)));
}

test("files and folders that documents name exist", () => {
  const named = documents.flatMap((document) => {
    // To kubectl `deploy/x` is a Deployment.
    const shell = document.shell.filter((line) => !/\bkubectl\b/.test(line) || line.includes(" -f "));
    const words = [...inlineCode(document), ...shell.flatMap((line) => line.split(/\s+/))];
    return words
      .map((word) => word.replace(/^\.\//, ""))
      .filter((word) => OURS.test(word) && !OTHERS_PATHS.has(word))
      .map((path) => ({ from: document.path, path }));
  });
  expect(named.length).toBeGreaterThan(50);
  const missing = named.filter(({ path }) => !isThere(path));
  expect(missing.map(({ from, path }) => `${from}: ${path}`)).toEqual([]);
});
