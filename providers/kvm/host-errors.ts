import {
  type CaaError,
  cancelled,
  capacityExhausted,
  describeError,
  gone,
  invalidConfig,
  isCaaError,
  quotaExceeded,
  unauthorised,
  unavailable,
} from "../../src/errors/index.ts";
import type { ExecResult } from "../../src/platform/index.ts";
import type { HostCall, KvmHost } from "./host/index.ts";

/** Exit statuses of the scripts: host/prelude.sh. */
const Status = { Gone: 20, Quota: 22, Capacity: 23, Stopped: 24, NoImage: 25 } as const;
/** ssh's own, for all that is not the command's. */
const SSH_FAILED = 255;
const MAX_TEXT = 600;

const DENIED = /Permission denied|Operation not permitted|Host key verification failed|not in the sudoers/i;
const FULL = /No space left|Cannot allocate memory|Disk quota exceeded|Too many open files/i;

/** What a call to the host failed of, as one of ours. */
export function toCaaError(error: unknown, what: string, signal: AbortSignal): CaaError {
  if (signal.aborted) return cancelled(`${what} was given up`, { cause: error });
  if (isCaaError(error)) return error;
  return unavailable(`${what}: ${describeError(error)}`, { cause: error });
}

/** What the host said instead of doing it. */
function refusal(result: ExecResult, what: string, label: string): CaaError {
  const text = (result.stderr.trim() || result.stdout.trim() || `status ${result.code}`)
    .replaceAll(/\s+/g, " ")
    .slice(0, MAX_TEXT);
  const message = `${what} on ${label}: ${text}`;
  switch (result.code) {
    case Status.Gone:
      return gone(message);
    case Status.Quota:
      return quotaExceeded(`${message}; delete pods, or raise KVM_MAX_MEMORY`);
    case Status.Capacity:
      return capacityExhausted(message);
    case Status.Stopped:
      return unavailable(`${what} on ${label}: the VM has ended. ${text}`);
    case Status.NoImage:
      return invalidConfig(`${message}; see KVM_IMAGE and KVM_QEMU`);
    default:
      if (DENIED.test(text)) return unauthorised(message);
      if (FULL.test(text) && result.code !== SSH_FAILED) return capacityExhausted(message);
      return unavailable(message);
  }
}

/** Runs a script; resolves to what it printed. `what` names the deed and the VM. Every failure is a CaaError. */
export async function onHost(
  host: KvmHost,
  call: HostCall,
  context: { readonly what: string; readonly signal: AbortSignal },
): Promise<string> {
  const { what, signal } = context;
  let result: ExecResult;
  try {
    signal.throwIfAborted();
    result = await host.run(call, signal);
    signal.throwIfAborted();
  } catch (error) {
    throw toCaaError(error, what, signal);
  }
  if (result.code !== 0) throw refusal(result, what, host.label);
  return result.stdout;
}

/** KEY=value lines. */
export function readFacts(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split("\n").flatMap((line) => {
      const at = line.indexOf("=");
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1).trim()] as const];
    }),
  );
}
