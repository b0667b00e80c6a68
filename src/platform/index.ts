export { aborted } from "./aborted.ts";
export { type Clock, systemClock } from "./clock.ts";
export { type Exec, type ExecOptions, type ExecResult, systemExec } from "./exec.ts";
export { fileIdentity, fileMode, isNamespaceFile, isSameFile, readTextFile, removeFiles } from "./files.ts";
export { type Live, LiveValue } from "./live.ts";
export { type Log, type LogFields, silentLog } from "./log.ts";
export { makeFolder, readBootId } from "./node-files.ts";
export { createLog, LOG_LEVELS, type LogLevel } from "./pino-log.ts";
export { Secret } from "./secret.ts";
