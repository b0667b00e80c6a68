import type { OptionReader } from "../../providers/contract.ts";
import { internal } from "../errors/index.ts";
import { type ClusterAccess, clusterAccess } from "../kubernetes/client/index.ts";
import type { LogLevel } from "../platform/index.ts";
import { logLevel } from "./config.ts";
import { metricsAddress } from "./metrics-options.ts";
import type { OptionResult } from "./options.ts";

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
