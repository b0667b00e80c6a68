import type { OptionSpec } from "../../providers/contract.ts";
import { LOG_LEVELS } from "../platform/index.ts";
import { DEFAULT_HYPERVISOR_SOCKET } from "./admin-socket.ts";
import { absolutePath, oneOf, placedSocketPath, socketPath } from "./option-checks.ts";

/** Options that belong together in help and reference. */
export interface OptionGroup {
  readonly title: string;
  readonly options: readonly OptionSpec[];
}

/** How much is logged. */
export const LOG_LEVEL: OptionSpec = {
  flag: "log-level",
  env: "PEERPODS_LOG_LEVEL",
  kind: "string",
  default: "info",
  live: true,
  help: `least level of log lines: ${LOG_LEVELS.join(", ")}`,
  validate: oneOf(LOG_LEVELS),
};

/** Where sockets are made. */
export const RUN_DIR: OptionSpec = {
  flag: "run-dir",
  env: "PEERPODS_RUN_DIR",
  kind: "string",
  help: "folder for sockets of adaptor and shim-proxy, on the pods folder's file system; unset: the one of the hypervisor socket",
  validate: absolutePath,
};

/** Where shims call. */
export const HYPERVISOR_SOCKET: OptionSpec = {
  flag: "socket",
  env: "REMOTE_HYPERVISOR_ENDPOINT",
  kind: "string",
  default: DEFAULT_HYPERVISOR_SOCKET,
  help: "path of the ttrpc socket that Kata's shim calls",
  validate: socketPath,
};

/** Where the control plane drives the shim-proxy. */
export const PROXY_SOCKET: OptionSpec = {
  flag: "proxy-socket",
  env: "PEERPODS_PROXY_SOCKET",
  kind: "string",
  help: "path of the shim-proxy's control socket; unset: proxy.sock in the run folder",
  validate: socketPath,
};

/** Where an adaptor answers people and probes. */
export const ADMIN_SOCKET: OptionSpec = {
  flag: "admin-socket",
  env: "PEERPODS_ADMIN_SOCKET",
  kind: "string",
  help: "path of the socket for status, probes and metrics (mode 0600); unset: admin.sock in the run folder",
  validate: placedSocketPath,
};

/** For commands that ask a running adaptor. */
export const WHERE_IT_ANSWERS: OptionGroup = {
  title: "Where the adaptor answers",
  options: [ADMIN_SOCKET, RUN_DIR, HYPERVISOR_SOCKET],
};

/** Where a node's journal is. */
export const STATE_DIR: OptionSpec = {
  flag: "state-dir",
  env: "PEERPODS_STATE_DIR",
  kind: "string",
  default: "/var/lib/peerpods",
  help: "folder of the journal; must outlive a reboot, mode 0700",
  validate: absolutePath,
};

/** For commands that ask Kubernetes. */
export const KUBECONFIG: OptionSpec = {
  flag: "kubeconfig",
  env: "PEERPODS_KUBECONFIG",
  kind: "string",
  help: "kubeconfig file of the cluster; unset: the service account of the pod that this runs in",
  validate: absolutePath,
};

/** The log level option alone, for commands with few others. */
export const PROCESS_OPTIONS: OptionGroup = { title: "Process", options: [LOG_LEVEL] };
