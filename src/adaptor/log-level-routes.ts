import { type AdminRoute, json } from "../admin/index.ts";
import { invalidRequest } from "../errors/index.ts";
import { type LiveValue, LOG_LEVELS, type Log, type LogLevel } from "../platform/index.ts";

/** GET and PUT of the level of log lines. It is not kept: a process that is started again has the configured one. */
export function logLevelRoutes(level: LiveValue<LogLevel>, log: Log): readonly AdminRoute[] {
  const path = "/log-level";
  return [
    { method: "GET", path, handle: () => json({ level: level.current() }) },
    {
      method: "PUT",
      path,
      handle({ body }) {
        const text = body.trim();
        const next = LOG_LEVELS.find((candidate) => candidate === text);
        if (next === undefined) {
          throw invalidRequest(
            `${JSON.stringify(text)} is no log level; give one of ${LOG_LEVELS.join(", ")}`,
          );
        }
        const before = level.current();
        const tell = (): void => log.warn("the log level is changed", { from: before, to: next });
        // At the more talkative of the two.
        const louder = LOG_LEVELS.indexOf(next) < LOG_LEVELS.indexOf(before);
        if (!louder) tell();
        level.set(next);
        if (louder) tell();
        return json({ level: next });
      },
    },
  ];
}
