import { pino } from "pino";
import type { Log } from "./log.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const wrap = (logger: pino.Logger): Log => ({
  error: (message, fields) => logger.error(fields ?? {}, message),
  warn: (message, fields) => logger.warn(fields ?? {}, message),
  info: (message, fields) => logger.info(fields ?? {}, message),
  debug: (message, fields) => logger.debug(fields ?? {}, message),
  child: (fields) => wrap(logger.child(fields)),
});

/** JSON lines on standard error, written at once so that nothing is lost at a crash. */
export function createLog(level: LogLevel, component: string): Log {
  const destination = pino.destination({ fd: 2, sync: true });
  return wrap(
    pino(
      {
        level,
        base: { component },
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
      },
      destination,
    ),
  );
}
