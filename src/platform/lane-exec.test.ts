import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type ExecOptions, systemExec } from "./exec.ts";
import { LaneExec } from "./lane-exec.ts";

let dir: string;
let exec: LaneExec;
beforeEach(() => {
  dir = mkdtempSync("/tmp/lane-");
  exec = new LaneExec();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await exec[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const NAUGHTY = ["$HOME", "`id`", "$(id)", "a  b", "", "'", '"', "*", "\\n", "-n", ";", "&", "#", "\t", "\\"];

const CASES: readonly [string, readonly [string, ...string[]], ExecOptions?][] = [
  ["arguments that a shell would take for its own", ["printf", "%s|", ...NAUGHTY]],
  ["output without a line break at its end", ["printf", "no end"]],
  ["output with blank lines", ["printf", "\\n\\nx\\n\\n"]],
  ["bytes that are no text", ["printf", "\\377\\000\\200"]],
  ["both streams and an exit status", ["sh", "-c", "echo out; echo err >&2; exit 3"]],
  ["the largest exit status", ["sh", "-c", "exit 255"]],
  ["a program that is also a builtin of shells", ["kill", "-l", "9"]],
  ["an argument with a line break", ["printf", "%s", "a\nb"]],
  ["an argument that is not ASCII", ["printf", "%s", "grün"]],
  ["an environment", ["sh", "-c", 'echo "$LANE"'], { env: { LANE: "x" } }],
  ["no input", ["cat"]],
  ["input", ["cat"], { input: "a\n\n  $x `id` \\\n'\"\n" }],
  ["input without a line break at its end", ["cat"], { input: "a" }],
  ["more input than a pipe takes", ["wc"], { input: "0123456789\n".repeat(20_000) }],
  ["input that is not read", ["true"], { input: "0123456789\n".repeat(20_000) }],
];
test.each(CASES)("does as systemExec: %s", async (_what, argv, options) => {
  const expected = await systemExec.run(argv, options);
  expect(await exec.run(argv, options)).toEqual(expected);
  expect(await exec.run(argv, options)).toEqual(expected);
});

test("more commands than lanes run, each with its own output, and each lane is one shell", async () => {
  const say = (n: number) => exec.run(["sh", "-c", `echo ${n} $PPID`]);
  const results = await Promise.all(Array.from({ length: 20 }, (_, n) => say(n)));
  expect(results.map(({ stdout }) => stdout.split(" ")[0])).toEqual(results.map((_, n) => `${n}`));
  expect(new Set(results.map(({ stdout }) => stdout.trim().split(" ")[1])).size).toBe(8);
});

test("a program that has gone is unavailable, and is found where it is then", async () => {
  const [old, present] = ["old", "present"].map((name) => join(dir, name));
  vi.stubEnv("PATH", `${old}:${present}`);
  const install = (folder = ""): void => {
    mkdirSync(folder);
    writeFileSync(join(folder, "wanders"), "#!/bin/sh\necho here\nexit 127\n", { mode: 0o755 });
  };
  install(old);
  expect(await exec.run(["wanders"])).toMatchObject({ code: 127, stdout: "here\n" });
  rmSync(join(dir, "old"), { recursive: true });
  await expect(exec.run(["wanders"])).rejects.toMatchObject({ kind: "unavailable" });
  install(present);
  expect(await exec.run(["wanders"])).toMatchObject({ code: 127, stdout: "here\n" });
});

test("a program that is not there is unavailable; so is a command that was given up before", async () => {
  await expect(exec.run(["no-such-program"])).rejects.toMatchObject({
    kind: "unavailable",
    message: expect.stringContaining("no-such-program"),
  });
  const signal = AbortSignal.abort(new Error("enough"));
  await expect(exec.run(["true"], { signal })).rejects.toMatchObject({
    kind: "unavailable",
    message: "cannot run true: enough",
  });
});

/** A command that writes its id and waits for ever. */
const hang = (file: string) =>
  ["sh", "-c", `echo $$ >${file}.new; mv ${file}.new ${file}; exec sleep 86400`] as const;

async function appears(file: string): Promise<number> {
  const watcher = watch(dir);
  try {
    while (!existsSync(file)) await once(watcher, "change");
  } finally {
    watcher.close();
  }
  return Number(readFileSync(file, "utf8"));
}

/** Not by its signal: what waits for it may not have looked yet. */
const isAlive = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/ [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));

async function ends(pid: number): Promise<void> {
  while (isAlive(pid)) await new Promise((resolve) => setImmediate(resolve));
}

test("an abort ends the command, and what waits for a lane; others go on", async () => {
  const abort = new AbortController();
  const running = Array.from({ length: 8 }, (_, n) =>
    exec.run(hang(join(dir, `${n}`)), { signal: abort.signal }),
  );
  const waiting = exec.run(["true"], { signal: abort.signal });
  const other = exec.run(["echo", "there"]);
  const pids = await Promise.all(running.map((_, n) => appears(join(dir, `${n}`))));
  const outcomes = Promise.allSettled([...running, waiting]);
  abort.abort(new Error("enough"));
  const failure = { kind: "unavailable", message: expect.stringMatching(/^cannot run (sh|true): enough$/) };
  expect(await outcomes).toEqual(
    Array.from({ length: 9 }, () => ({ status: "rejected", reason: expect.objectContaining(failure) })),
  );
  expect((await other).stdout).toBe("there\n");
  for (const pid of pids) await ends(pid);
});

test("a lane whose shell is killed fails its command, ends it, and is replaced", async () => {
  const file = join(dir, "pid");
  const hanging = exec.run(hang(file));
  const pid = await appears(file);
  const shell = Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(" ")[3]);
  process.kill(shell, "SIGKILL");
  await expect(hanging).rejects.toMatchObject({ kind: "unavailable" });
  await ends(pid);
  expect((await exec.run(["echo", "again"])).stdout).toBe("again\n");
});

test("a command that prints without end is ended", async () => {
  await expect(exec.run(["yes"])).rejects.toThrow("too much");
});

test("a process with idle lanes ends by itself, and nothing of a killed one is left", async () => {
  const program = join(dir, "program.ts");
  writeFileSync(
    program,
    `import { LaneExec } from ${JSON.stringify(join(import.meta.dirname, "lane-exec.ts"))};
     const { stdout } = await new LaneExec().run(["sh", "-c", "echo $PPID"]);
     process.stdout.write(stdout);
     if (process.argv[2] === "stay") process.stdin.resume();`,
  );
  for (const how of ["end", "stay"]) {
    const child = spawn(process.execPath, [program, how], { stdio: ["pipe", "pipe", "inherit"] });
    const ended = once(child, "exit");
    const [line] = await once(createInterface(child.stdout), "line");
    if (how === "stay") child.kill("SIGKILL");
    const [code] = await ended;
    expect(code).toBe(how === "end" ? 0 : null);
    await ends(Number(line));
  }
});
