import * as v from "valibot";
import { askForBody } from "./admin-answers.ts";

const LEVEL = v.pipe(v.string(), v.parseJson(), v.object({ level: v.string() }));
const TIMEOUT_MS = 10_000;

/** Prints the level of the adaptor's log lines, after changing it if one is given. */
export async function showOrSetLogLevel(
  socket: string,
  level: string | undefined,
  write: (text: string) => void,
): Promise<number> {
  const path = "/log-level";
  const body =
    level === undefined
      ? await askForBody(socket, { method: "GET", path, timeoutMs: TIMEOUT_MS })
      : await askForBody(socket, { method: "PUT", path, body: level, timeoutMs: TIMEOUT_MS });
  write(`${v.parse(LEVEL, body).level}\n`);
  return 0;
}
