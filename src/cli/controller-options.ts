import type { OptionReader } from "../../providers/contract.ts";
import { internal } from "../errors/index.ts";
import { type ClusterAccess, clusterAccess } from "../kubernetes/client/index.ts";
import type { LogLevel } from "../platform/index.ts";
import { logLevel } from "./config.ts";
import { METRICS_OPTIONS, metricsAddress } from "./metrics-options.ts";
import { notNegativeDuration, numberBetween, port, positiveDuration } from "./option-checks.ts";
import type { OptionResult } from "./options.ts";
import { KUBECONFIG, type OptionGroup, PROCESS_OPTIONS } from "./shared-options.ts";

/** What `cloud-api-adaptor controller` takes beside the provider's options. */
export const CONTROLLER_OPTIONS: readonly OptionGroup[] = [
  {
    title: "Controller",
    options: [
      {
        flag: "peerpods-cluster-id",
        env: "CLUSTER_ID",
        kind: "string",
        help: "identity of the cluster in the tags of its VMs, the adaptors' one; unset: the UID of namespace kube-system. Two clusters with the same one would delete each other's VMs",
      },
      {
        flag: "pod-namespace",
        env: "POD_NAMESPACE",
        kind: "string",
        default: "confidential-containers-system",
        help: "namespace of the controller, the adaptors and the shim-proxies; the Lease is there",
      },
      {
        flag: "pod-name",
        env: "POD_NAME",
        kind: "string",
        help: "name of the controller's pod, for the Lease; unset: the host's name",
      },
      {
        flag: "runtimeclass-name",
        env: "RUNTIMECLASS_NAME",
        kind: "string",
        default: "kata-remote",
        help: "runtime class of peer pods: a node with one keeps its shim-proxy",
      },
      {
        flag: "controller-dry-run",
        env: "PEERPODS_CONTROLLER_DRY_RUN",
        kind: "bool",
        default: "false",
        help: "only say what would be deleted",
      },
      {
        flag: "controller-grace",
        env: "PEERPODS_CONTROLLER_GRACE",
        kind: "duration",
        default: "10m",
        help: "how long the adaptor of a living node has for the VM of a PeerPod that is being deleted",
        validate: notNegativeDuration,
      },
      {
        flag: "controller-sweep-interval",
        env: "PEERPODS_CONTROLLER_SWEEP_INTERVAL",
        kind: "duration",
        default: "5m",
        help: "how often all VMs of the cluster are looked at; a node must be gone in two looks at least a minute apart",
        validate: positiveDuration,
      },
      {
        flag: "controller-orphan-grace",
        env: "PEERPODS_CONTROLLER_ORPHAN_GRACE",
        kind: "duration",
        default: "1h",
        help: "how long a VM of a living node that has no adaptor is let alone after its pod is gone",
        validate: positiveDuration,
      },
      {
        flag: "controller-budget",
        env: "PEERPODS_CONTROLLER_BUDGET",
        kind: "int",
        default: "10",
        help: "most VMs without an owner that one look deletes",
        validate: numberBetween(1, 1000),
      },
      {
        flag: "replace-shim-proxies",
        env: "PEERPODS_CONTROLLER_REPLACE_SHIM_PROXIES",
        kind: "bool",
        default: "true",
        help: "replace shim-proxy pods of an older revision on nodes that run no peer pod",
      },
      {
        flag: "shim-proxy-daemonset",
        env: "PEERPODS_SHIM_PROXY_DAEMONSET",
        kind: "string",
        default: "peerpods-shim-proxy",
        help: "name of the shim-proxies' DaemonSet (OnDelete)",
      },
      {
        flag: "controller-health-port",
        env: "PEERPODS_CONTROLLER_HEALTH_PORT",
        kind: "string",
        default: "8081",
        help: "port of GET /healthz and /readyz",
        validate: port,
      },
      KUBECONFIG,
    ],
  },
  METRICS_OPTIONS,
  PROCESS_OPTIONS,
];

/** All that an operator told the controller, checked. */
export interface ControllerConfig {
  readonly providerOptions: OptionReader;
  readonly access: ClusterAccess;
  /** "": to be asked of the cluster. */
  readonly clusterId: string;
  readonly namespace: string;
  /** "": the host's. */
  readonly podName: string;
  readonly runtimeClassName: string;
  readonly isDryRun: boolean;
  readonly graceMs: number;
  readonly sweepIntervalMs: number;
  readonly orphanGraceMs: number;
  readonly budget: number;
  readonly replacesShimProxies: boolean;
  readonly shimProxyDaemonSet: string;
  readonly healthPort: number;
  readonly metrics: { readonly host: string; readonly port: number } | undefined;
  readonly logLevel: LogLevel;
  readonly warnings: readonly string[];
}

/** Throws `invalid-config` when the cluster cannot be found. */
export function readControllerConfig(
  options: OptionResult,
  env: Readonly<Record<string, string | undefined>>,
): ControllerConfig {
  return {
    providerOptions: options,
    access: clusterAccess(options.string("kubeconfig"), env),
    clusterId: options.string("peerpods-cluster-id"),
    namespace: options.string("pod-namespace"),
    podName: options.string("pod-name"),
    runtimeClassName: options.string("runtimeclass-name"),
    isDryRun: options.bool("controller-dry-run"),
    graceMs: durationMs(options, "controller-grace"),
    sweepIntervalMs: durationMs(options, "controller-sweep-interval"),
    orphanGraceMs: durationMs(options, "controller-orphan-grace"),
    budget: options.int("controller-budget") ?? 0,
    replacesShimProxies: options.bool("replace-shim-proxies"),
    shimProxyDaemonSet: options.string("shim-proxy-daemonset"),
    healthPort: Number(options.string("controller-health-port")),
    metrics: metricsAddress(options),
    logLevel: logLevel(options),
    warnings: options.warnings,
  };
}

function durationMs(options: OptionReader, flag: string): number {
  const value = options.durationMs(flag);
  if (value === undefined) throw internal(`option -${flag} has no default`);
  return value;
}
