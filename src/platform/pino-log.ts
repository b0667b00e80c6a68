import { pino } from "pino";
import type { Live } from "./live.ts";
import { LOG_LEVELS, type Log, type LogFields, type LogLevel } from "./log.ts";
import { logDestination } from "./log-destination.ts";

/** The level is asked for at each line: pino's children would keep the one that they were made with. */
function wrap(logger: pino.Logger, level: Live<LogLevel>): Log {
  const at = (line: LogLevel) => {
    return (message: string, fields?: LogFields): void => {
      if (LOG_LEVELS.indexOf(line) >= LOG_LEVELS.indexOf(level.current()))
        logger[line](fields ?? {}, message);
    };
  };
  return {
    error: at("error"),
    warn: at("warn"),
    info: at("info"),
    debug: at("debug"),
    child: (fields) => wrap(logger.child(fields), level),
  };
}

/** Lines on standard error: JSON, or as a person reads them when it is a terminal. The level may change meanwhile. */
export function createLog(level: LogLevel | Live<LogLevel>, component: string): Log {
  const destination = logDestination();
  const logger = pino(
    {
      level: LOG_LEVELS[0],
      base: { component },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return wrap(
    logger,
    typeof level === "string" ? { current: () => level, onChange: () => () => undefined } : level,
  );
}
