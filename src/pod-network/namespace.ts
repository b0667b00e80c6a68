import { describeError, invalidRequest, networkFailed } from "../errors/index.ts";
import { type Exec, isNamespaceFile, isSameFile } from "../platform/index.ts";

/** A command, and what its failure means to a person. */
export interface NetCommand {
  readonly argv: readonly [string, ...string[]];
  readonly input?: string;
  /** Completes "cannot ...". */
  readonly purpose: string;
}

/** Runs a command to its success and returns what it printed; anything else throws `network` with what it complained about. */
export async function runNet(exec: Exec, command: NetCommand, signal: AbortSignal): Promise<string> {
  const { argv, input, purpose } = command;
  const result = await exec.run(argv, input === undefined ? { signal } : { signal, input });
  if (result.code === 0) return result.stdout;
  const complaint = result.stderr.trim().replaceAll(/\s*\n\s*/g, "; ") || `exit status ${result.code}`;
  throw networkFailed(`cannot ${purpose}: ${complaint}`);
}

/** The command inside a network namespace. By nsenter: `ip -n` also mounts /sys, which container runtimes deny. */
export const inNamespace = (netns: string, ...argv: readonly string[]): [string, ...string[]] => [
  "nsenter",
  `--net=${netns}`,
  ...argv,
];

/** Throws `invalid-request` unless the path is absolute and leads to a namespace that is not the one of this process. */
export async function checkNamespace(netns: string): Promise<void> {
  if (!netns.startsWith("/") || netns.includes("\0")) {
    throw invalidRequest(
      `the pod's network namespace ${JSON.stringify(netns)} is not an absolute path; the runtime must give the pod a network namespace of its own`,
    );
  }
  if (!(await namespaceExists(netns))) {
    throw invalidRequest(`${netns} is not a network namespace; the pod's sandbox may be gone already`);
  }
  if (await isNodesOwn(netns)) {
    throw invalidRequest(
      `${netns} is the node's own network; a tunnel there would cut the node off, so pods with hostNetwork cannot be peer pods`,
    );
  }
}

/** A namespace that has gone meanwhile is nobody's. */
async function isNodesOwn(netns: string): Promise<boolean> {
  return await isSameFile(netns, "/proc/self/ns/net").catch(() => false);
}

/** Whether the path leads to a namespace now. */
export async function namespaceExists(netns: string): Promise<boolean> {
  try {
    return await isNamespaceFile(netns);
  } catch (cause) {
    throw networkFailed(`cannot look at the network namespace ${netns}: ${describeError(cause)}`, { cause });
  }
}

/** A device name that is safe as a word of iproute2's batch files (the kernel forbids `/`, `:` and blanks only). */
export const isPlainDeviceName = (name: string): boolean =>
  /^[A-Za-z0-9_.][A-Za-z0-9_.@+-]{0,14}$/.test(name);
