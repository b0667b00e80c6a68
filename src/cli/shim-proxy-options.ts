import { notNegativeDuration, numberBetween, positiveDuration } from "./option-checks.ts";
import { HYPERVISOR_SOCKET, LOG_LEVEL, type OptionGroup, PROXY_SOCKET, RUN_DIR } from "./shared-options.ts";

/** What the `shim-proxy` command takes. */
export const SHIM_PROXY_OPTIONS: readonly OptionGroup[] = [
  { title: "Sockets and folders", options: [HYPERVISOR_SOCKET, RUN_DIR, PROXY_SOCKET] },
  {
    title: "Limits and time",
    options: [
      {
        flag: "hold-timeout",
        env: "PEERPODS_HOLD_TIMEOUT",
        kind: "duration",
        default: "10m",
        help: "how long a shim's call waits while there is no control plane",
        validate: positiveDuration,
      },
      {
        flag: "link-down-limit",
        env: "PEERPODS_LINK_DOWN_LIMIT",
        kind: "duration",
        default: "2m",
        help: "how long a pod VM may be unreachable before its pod is given up",
        validate: positiveDuration,
      },
      {
        flag: "link-check-interval",
        env: "PEERPODS_LINK_CHECK_INTERVAL",
        kind: "duration",
        default: "5s",
        help: "an agent that was silent for so long is asked for a sign of life",
        validate: positiveDuration,
      },
      {
        flag: "link-check-timeout",
        env: "PEERPODS_LINK_CHECK_TIMEOUT",
        kind: "duration",
        default: "8s",
        help: "how long it may owe that sign before it is dialled again; Kata's shim kills the pod after 30 s",
        validate: positiveDuration,
      },
      {
        flag: "unsent-call-hold",
        env: "PEERPODS_UNSENT_CALL_HOLD",
        kind: "duration",
        default: "2s",
        help: "how long an agent call that may not be repeated waits for a broken connection",
        validate: notNegativeDuration,
      },
      {
        flag: "poison-deaths",
        env: "PEERPODS_POISON_DEATHS",
        kind: "int",
        default: "3",
        help: "a call during which the control plane died so often is refused and its sandbox undone",
        validate: numberBetween(1, 1000),
      },
    ],
  },
  { title: "Process", options: [LOG_LEVEL] },
];
