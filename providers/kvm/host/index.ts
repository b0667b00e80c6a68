export type { HostCall, KvmHost } from "./host.ts";
export { LocalHost } from "./local-host.ts";
export { readScripts, type ScriptName, type Scripts } from "./scripts.ts";
export type { SshTarget } from "./ssh-command.ts";
export { SshHost } from "./ssh-host.ts";
