import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** Builds and runs the peers that README.md in this folder describes. */

export type PeerKind = "go" | "rust";

/** A built peer, or why there is none. */
export type BuiltPeer = { readonly path: string } | { readonly missing: string };

export interface PeerCommand {
  readonly method?: string;
  readonly service?: string;
  readonly text?: string;
  readonly size?: number;
  readonly timeoutMs?: number;
  readonly metadata?: Readonly<Record<string, readonly string[]>>;
  readonly count?: number;
  readonly close?: boolean;
}

export interface PeerOutcome {
  readonly code: number;
  readonly text: string;
  readonly size: number;
  readonly matched: number;
}

const BUILD_TIMEOUT_MS = 9 * 60_000;
const folderOf = (kind: PeerKind): string => fileURLToPath(new URL(`${kind}/`, import.meta.url));
const cache = fileURLToPath(new URL("../../../.work/interop/", import.meta.url));

const builds: Record<PeerKind, { readonly command: readonly string[]; readonly path: string }> = {
  go: { command: ["go", "build", "-mod=readonly", "-o", `${cache}go-peer`, "."], path: `${cache}go-peer` },
  rust: {
    command: ["cargo", "build", "--quiet", "--locked", "--target-dir", `${cache}cargo`],
    path: `${cache}cargo/debug/peer`,
  },
};

/** Builds a peer unless its cache is fresh. Never fails: a peer that cannot be built is `missing`, with the reason. */
export async function buildPeer(kind: PeerKind): Promise<BuiltPeer> {
  const { command, path } = builds[kind];
  mkdirSync(cache, { recursive: true });
  try {
    await promisify(execFile)("nice", ["-n", "15", ...command], {
      cwd: folderOf(kind),
      timeout: BUILD_TIMEOUT_MS,
    });
    return { path };
  } catch (error) {
    return { missing: `needs the ${kind} peer built: ${reasonOf(error).replaceAll(/[()]/g, "")}` };
  }
}

function reasonOf(error: unknown): string {
  const stderr = error instanceof Error && "stderr" in error ? String(error.stderr) : "";
  const lines = stderr.trim().split("\n");
  return (
    (lines.find((line) => /error|cannot|No such/i.test(line)) ?? lines.at(-1) ?? "").trim() || String(error)
  );
}

export interface RunningServer extends AsyncDisposable {
  /** Ends the process without any farewell. */
  kill(): Promise<void>;
}

/** Starts a peer as a server; resolves when it listens on `socket`. */
export async function startServer(path: string, socket: string): Promise<RunningServer> {
  const child = spawn(path, ["serve", socket], { stdio: ["ignore", "pipe", "ignore"] });
  const exited = once(child, "exit");
  const lines = createInterface(child.stdout);
  const [line] = await Promise.race([once(lines, "line"), exited]);
  if (line !== "listening") throw new Error(`peer did not start: ${line}`);
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
  };
  return { kill, [Symbol.asyncDispose]: kill };
}

export interface RunningClient extends AsyncDisposable {
  /** Runs one command; commands run at the same time. */
  run(command: PeerCommand): Promise<PeerOutcome>;
}

/** Starts a peer as a client with one connection to `socket`. */
export function startClient(path: string, socket: string): RunningClient {
  const child = spawn(path, ["call", socket], { stdio: ["pipe", "pipe", "ignore"] });
  const exited = once(child, "exit");
  const waiting = new Map<number, (outcome: PeerOutcome) => void>();
  createInterface(child.stdout).on("line", (line) => {
    // The peer's own format, written a few files from here.
    const outcome = JSON.parse(line) as PeerOutcome & { readonly id: number };
    waiting.get(outcome.id)?.(outcome);
    waiting.delete(outcome.id);
  });
  let lastId = 0;
  return {
    run(command) {
      const id = ++lastId;
      const outcome = new Promise<PeerOutcome>((resolve, reject) => {
        waiting.set(id, resolve);
        void exited.then(() => reject(new Error("the peer ended before it reported")));
      });
      child.stdin.write(`${JSON.stringify({ id, ...command })}\n`);
      return outcome;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
