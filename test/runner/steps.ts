import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { describeError } from "../../src/errors/index.ts";
import { type Outcome, outcomesOf } from "./summary.ts";

const ROOT: string = join(import.meta.dirname, "..", "..");
const BIN = join(ROOT, "node_modules", ".bin");
const REPORTER = join(import.meta.dirname, "reporter.ts");
/** A run that hangs is ended and counted as failed. */
const VITEST_LIMIT_MS = 60 * 60 * 1000;
const TOOL_LIMIT_MS = 5 * 60 * 1000;

interface Ended {
  readonly status: number;
  readonly output: string;
}

interface RunOptions {
  readonly cwd: string;
  readonly limitMs: number;
  /** Its output goes to ours; else it is collected. */
  readonly show: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs one of the project's tools in a process group of its own, which is ended with it. */
function runTool(argv: readonly [string, ...string[]], options: RunOptions): Promise<Ended> {
  const [file, ...args] = argv;
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const child = spawn(file, args, {
      cwd: options.cwd,
      detached: true,
      stdio: ["ignore", options.show ? "inherit" : "pipe", options.show ? "inherit" : "pipe"],
      env: {
        ...process.env,
        ...options.env,
        PATH: [BIN, dirname(process.execPath), process.env["PATH"]].join(delimiter),
      },
    });
    const endGroup = (signal: NodeJS.Signals): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, signal);
      } catch {
        // The group is gone.
      }
    };
    const timer = setTimeout(() => {
      chunks.push(Buffer.from(`took longer than ${options.limitMs / 60_000} min and was ended\n`));
      endGroup("SIGKILL");
    }, options.limitMs);
    const interrupted = (): void => endGroup("SIGTERM");
    process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
    child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr?.on("data", (chunk: Buffer) => chunks.push(chunk));
    const end = (status: number): void => {
      clearTimeout(timer);
      process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
      resolve({ status, output: Buffer.concat(chunks).toString() });
    };
    child.on("error", (error) => {
      chunks.push(Buffer.from(`${error.message}\n`));
      end(127);
    });
    child.on("close", (code) => end(code ?? 128));
  });
}

/** One step that either holds or tells why not. */
async function step(name: string, check: () => Promise<string>): Promise<Outcome> {
  const started = performance.now();
  let reason: string;
  try {
    reason = await check();
  } catch (error) {
    reason = describeError(error);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${reason === "" ? "passed" : "failed"}  ${name} (${seconds} s)\n`);
  return { name, result: reason === "" ? "passed" : "failed", reason };
}

/** src/gen is what the .proto files give. */
export const generatedCodeIsCurrent = (): Promise<Outcome> =>
  step("src/gen is what proto/ gives", async () => {
    const out = await mkdtemp(join(tmpdir(), "peerpods-gen-"));
    try {
      for (const template of ["ttrpc", "grpc"]) {
        const { status, output } = await runTool(
          ["buf", "generate", "--template", `proto/buf.gen.${template}.yaml`, "--output", out],
          { cwd: ROOT, limitMs: TOOL_LIMIT_MS, show: false },
        );
        if (status !== 0) return `buf generate: ${output.trim()}`;
      }
      const [fresh, kept] = await Promise.all([
        readTree(join(out, "src", "gen")),
        readTree(join(ROOT, "src", "gen")),
      ]);
      const names = [...new Set([...fresh.keys(), ...kept.keys()])];
      const stale = names.filter((name) => fresh.get(name) !== kept.get(name));
      return stale.length === 0 ? "" : `${stale.join(", ")} differ; run 'npm run generate' and commit`;
    } finally {
      await rm(out, { recursive: true, force: true });
    }
  });

async function readTree(dir: string): Promise<ReadonlyMap<string, string>> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(
      files.map(
        async (file): Promise<[string, string]> => [file.slice(dir.length + 1), await readFile(file, "utf8")],
      ),
    ),
  );
}

/** tsc finds nothing. */
export const typesCheck = (): Promise<Outcome> =>
  step("types check", async () => {
    const { status, output } = await runTool(["tsc", "-p", "tsconfig.json"], {
      cwd: ROOT,
      limitMs: TOOL_LIMIT_MS,
      show: false,
    });
    if (status !== 0) process.stdout.write(output);
    return status === 0 ? "" : `tsc ended with status ${status}`;
  });

/** Runs vitest in `root`; whatever becomes of it, there are outcomes. */
export async function runVitest(root: string, args: readonly string[]): Promise<readonly Outcome[]> {
  const dir = await mkdtemp(join(tmpdir(), "peerpods-test-"));
  const reportFile = join(dir, "report.json");
  try {
    const { status } = await runTool(
      ["vitest", "run", "--reporter=default", `--reporter=${REPORTER}`, ...args],
      {
        cwd: root,
        limitMs: VITEST_LIMIT_MS,
        show: true,
        env: { NO_COLOR: "1", PEERPODS_TEST_REPORT: reportFile },
      },
    );
    return await readOutcomes(reportFile, status, root);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function readOutcomes(reportFile: string, status: number, root: string): Promise<readonly Outcome[]> {
  try {
    return outcomesOf(await readFile(reportFile, "utf8"), status, root);
  } catch (error) {
    return [
      {
        name: "vitest",
        result: "failed",
        reason: `ended with status ${status} and left no report (${describeError(error)})`,
      },
    ];
  }
}
