import { parseStatus, type Status } from "../admin/status.ts";
import { describeError } from "../errors/index.ts";
import { systemClock } from "../platform/index.ts";
import { askForBody } from "./admin-answers.ts";
import { statusText } from "./status-text.ts";
import { terminalPaint } from "./table.ts";

const TIMEOUT_MS = 10_000;
const WATCH_INTERVAL_MS = 2000;
/** Clears the terminal and goes to its upper left corner (ECMA-48: CUP, ED). */
const CLEAR = "\u001b[H\u001b[2J";

/** Prints what the adaptor does. Resolves to 0 when it is ready, else 1. Throws `unavailable` when none answers. */
export async function showStatus(
  socket: string,
  asJson: boolean,
  write: (text: string) => void,
): Promise<number> {
  const { body, status } = await ask(socket);
  write(asJson ? body : statusText(status, terminalPaint));
  return status.ready ? 0 : 1;
}

export interface WatchOptions {
  readonly socket: string;
  readonly asJson: boolean;
  readonly write: (text: string) => void;
  readonly stop: AbortSignal;
}

/** Prints it again and again until told to stop; an adaptor that is away is waited for. Resolves to 0. */
export async function watchStatus({ socket, asJson, write, stop }: WatchOptions): Promise<number> {
  const clear = process.stdout.isTTY && !asJson ? CLEAR : "";
  while (!stop.aborted) {
    write(clear + (await oneView(socket, asJson)));
    try {
      await systemClock.sleep(WATCH_INTERVAL_MS, stop);
    } catch {
      // Only `stop` ends a sleep early.
    }
  }
  return 0;
}

async function oneView(socket: string, asJson: boolean): Promise<string> {
  try {
    const { body, status } = await ask(socket);
    return asJson ? `${JSON.stringify(JSON.parse(body))}\n` : `${statusText(status, terminalPaint)}\n`;
  } catch (error) {
    const text = describeError(error);
    return asJson ? `${JSON.stringify({ error: text })}\n` : `${text}\n`;
  }
}

async function ask(socket: string): Promise<{ readonly body: string; readonly status: Status }> {
  const body = await askForBody(socket, { method: "GET", path: "/status", timeoutMs: TIMEOUT_MS });
  return { body, status: parseStatus(body) };
}
