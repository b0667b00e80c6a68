import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { commandName, loadCommand } from "../../src/cli/commands.ts";
import { flatten } from "../../src/cli/config.ts";
import { parseFlags } from "../../src/cli/go-flags.ts";
import { readOptions } from "../../src/cli/options.ts";
import { main } from "../../src/cli/program.ts";
import { describeError } from "../../src/errors/index.ts";
import { inlineCode, parseDocument, ROOT, readDocuments } from "./documents.ts";

const documents = readDocuments();
/** Where a shell's command ends. */
const ENDS = /^(?:\||\|\||&&?|;|\d?>{1,2}|<)$/;
const PROVIDER = "azure";

/** The arguments of each `cloud-api-adaptor` in a line of shell; placeholders in capitals stand as they are, but PROVIDER. */
function programCalls(line: string): readonly (readonly string[])[] {
  const words = line
    .replace(/(^|\s)#.*$/, "")
    .replaceAll(/\bPROVIDER\b/g, PROVIDER)
    .split(/\s+/)
    .filter((word) => word !== "");
  return words.flatMap((word, at) => {
    const isProgram = /^(?:\S*\/bin\/)?cloud-api-adaptor$/.test(word.replace(/^ExecStart=/, ""));
    if (!isProgram || words[at - 1] === "-c") return [];
    const rest = words.slice(at + 1);
    const end = rest.findIndex((next) => ENDS.test(next));
    return [end < 0 ? rest : rest.slice(0, end)];
  });
}

/** Why the program would refuse these arguments; undefined if it would not. */
async function refusal(args: readonly string[]): Promise<string | undefined> {
  const [first = ""] = args;
  if (["help", "version", "COMMAND"].includes(first)) return undefined;
  const words = first === "" || first.startsWith("-") ? [PROVIDER] : commandName(args, PROVIDER);
  try {
    const command = await loadCommand(words.join(" "));
    const { positionals = [] } = command;
    const specs = flatten(command.groups);
    const given = words.filter((word, n) => args[n] === word).length;
    const flags = parseFlags(command.name, specs, args.slice(given), positionals.length);
    const missing = positionals[flags.words.length];
    if (missing?.required && !flags.help) return `${missing.name} is missing`;
    const { problems } = readOptions(specs, { flags: flags.values, env: {} });
    return problems.find((problem) => problem.startsWith("-"));
  } catch (error) {
    return describeError(error);
  }
}

test("every command line of the program in the documents is one that it takes", async () => {
  const wrong: string[] = [];
  let seen = 0;
  for (const document of documents) {
    const inline = inlineCode(document).filter((code) => /^cloud-api-adaptor [a-zA-Z]/.test(code));
    for (const args of [...document.shell, ...inline].flatMap(programCalls)) {
      seen += 1;
      const why = args.some((word) => /[|\\]/.test(word)) ? undefined : await refusal(args);
      if (why !== undefined) wrong.push(`${document.path}: cloud-api-adaptor ${args.join(" ")}: ${why}`);
    }
  }
  expect(seen).toBeGreaterThan(40);
  expect(wrong).toEqual([]);
});

test("a command line that the program refuses is found", async () => {
  const { shell } = parseDocument(
    "docs/some.md",
    [
      "```sh",
      "kubectl exec POD -c cloud-api-adaptor-con -- cloud-api-adaptor status -wach | less",
      "```",
    ].join("\n"),
  );
  const [args = []] = shell.flatMap(programCalls);
  expect(args).toEqual(["status", "-wach"]);
  expect(await refusal(args)).toMatch(/unknown flag '-wach'/);
  expect(await refusal(["statos"])).toMatch(/statos/);
  expect(await refusal(["inspect"])).toMatch(/POD is missing/);
  expect(await refusal(["mock", "-proxy-timeout=5"])).toMatch(/proxy-timeout/);
  expect(await refusal(["inspect", "NAMESPACE/POD"])).toBeUndefined();
});

test("every make target that documents name exists", () => {
  const makefile = readFileSync(join(ROOT, "Makefile"), "utf8");
  const known = new Set([...makefile.matchAll(/^([a-z-]+):/gm)].map(([, name]) => name));
  const named = documents.flatMap((document) =>
    [...inlineCode(document), ...document.shell.map((line) => line.replace(/(^|\s)#.*$/, ""))].flatMap(
      (code) =>
        code
          .matchAll(/^(?:[A-Z_]+=\S+ )*make ([a-z-]+)/g)
          .map(([, target = ""]) => ({ from: document.path, target }))
          .toArray(),
    ),
  );
  expect(named.length).toBeGreaterThan(20);
  const missing = named.filter(({ target }) => !known.has(target));
  expect(missing.map(({ from, target }) => `${from}: make ${target}`)).toEqual([]);
});

test("the exit statuses are those of docs/commands.md", async () => {
  const section =
    readFileSync(join(ROOT, "docs/commands.md"), "utf8").split("## Exit status")[1]?.split("\n## ")[0] ?? "";
  const told = [...section.matchAll(/^\| (\d+) \|/gm)].map(([, status]) => Number(status));
  // 3 is the refused uninstall's, which test/cluster/chart-uninstall-cases.ts sees.
  expect(told).toEqual([0, 1, 2, 3]);
  const terminal = { env: {}, out: () => undefined, err: () => undefined };
  expect(await main(["version"], terminal)).toBe(0);
  expect(await main(["status", "-admin-socket", "/nonexistent/admin.sock"], terminal)).toBe(1);
  expect(await main(["statos"], terminal)).toBe(2);
  expect(await main(["azure"], terminal)).toBe(2);
});
