/** Fixed keys of log lines (style E6); anything else goes under its own name. */
export interface LogFields {
  readonly sandboxId?: string;
  readonly pod?: string;
  readonly vmName?: string;
  readonly step?: string;
  readonly durationMs?: number;
  readonly error?: string;
  readonly [key: string]: unknown;
}

/** error: a person must act; warn: we went on after something unexpected; info: a state changed; debug: the rest. */
export interface Log {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  child(fields: LogFields): Log;
}

/** Says nothing. */
export const silentLog: Log = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
  child: () => silentLog,
};

/** From most to least. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
