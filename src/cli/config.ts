import { dirname, join, resolve } from "node:path";
import type { OptionReader, OptionSpec, ProviderModule } from "../../providers/contract.ts";
import { parseSizingPolicy } from "../../providers/selection/index.ts";
import type {
  AdaptorConfig,
  CleaningConfig,
  ClusterConfig,
  CustomTlsFiles,
  LimitsConfig,
  NetworkConfig,
  NodeConfig,
  NodeResourceMode,
  PathsConfig,
  ShimProxyMode,
  TlsConfig,
} from "../adaptor/index.ts";
import { describeError, internal, invalidConfig } from "../errors/index.ts";
import { LOG_LEVELS, type LogLevel } from "../platform/index.ts";
import { type PoolEntry, parsePool } from "../sandbox/pool-kinds.ts";
import { DEFAULT_TLS_PROFILE, parseTlsProfile, tlsProfileWarnings } from "../tls/index.ts";
import { adminSocketPath } from "./admin-socket.ts";
import { ADAPTOR_OPTIONS } from "./common-options.ts";
import { metricsAddress } from "./metrics-options.ts";
import { type OptionResult, type OptionSources, readOptions } from "./options.ts";
import type { OptionGroup } from "./shared-options.ts";
import { SHIM_PROXY_OPTIONS } from "./shim-proxy-options.ts";

/** What the data plane needs to know. */
export interface ShimProxyConfig {
  readonly hypervisorSocket: string;
  readonly runDir: string;
  readonly proxySocket: string;
  /** Under the names of src/shim-proxy's own limits. */
  readonly limits: {
    readonly holdMs: number;
    readonly downLimitMs: number;
    readonly checkIdleMs: number;
    readonly checkTimeoutMs: number;
    readonly unwrittenHoldMs: number;
    readonly poisonDeaths: number;
  };
  readonly logLevel: LogLevel;
  readonly warnings: readonly string[];
}

/** The process's surroundings, read once by main. */
export interface Surroundings extends OptionSources {
  readonly hostname: string;
  /** Of the pod that this process runs in, as its service account's file tells; "" or absent: it has none. */
  readonly serviceAccountNamespace?: string;
  /** What the command line said beside the flags, as the command's positionals. */
  readonly words?: readonly string[];
}

/** All options of a provider's adaptor, for flags and help. */
export function adaptorOptionGroups(
  module: Pick<ProviderModule, "name" | "options">,
): readonly OptionGroup[] {
  return [{ title: `Provider ${module.name}`, options: module.options }, ...ADAPTOR_OPTIONS];
}

export const flatten = (groups: readonly OptionGroup[]): readonly OptionSpec[] =>
  groups.flatMap((group) => group.options);

/**
 * The configuration of `cloud-api-adaptor <provider>`. Throws one `invalid-config` that names every problem, one a line.
 */
export function readAdaptorConfig(
  module: Pick<ProviderModule, "name" | "options">,
  surroundings: Surroundings,
): AdaptorConfig {
  const options = readOptions(flatten(adaptorOptionGroups(module)), surroundings);
  const notes = { problems: [...options.problems], warnings: [...options.warnings] };
  refusePlugins(surroundings, notes.problems);
  const tls = readTls(options, notes);
  if (options.int("peerpods-limit-per-node") === 0) {
    notes.warnings.push("PEERPODS_LIMIT_PER_NODE=0 admits no peer pod on this node");
  }
  const pool = readPool(options, notes.problems);
  refuseIfAny(notes.problems);
  return {
    provider: module.name,
    providerOptions: options,
    logLevel: logLevel(options),
    node: readNode(options, surroundings),
    cluster: readCluster(options, surroundings, notes.warnings),
    paths: readPaths(options),
    shimProxy: shimProxyMode(options.string("shim-proxy")),
    podVm: {
      pauseImage: options.string("pause-image"),
      forwarderPort: Number(options.string("forwarder-port")),
      initdata: options.string("initdata").trim(),
      enableScratchSpace: options.bool("enable-scratch-space"),
      sizing: parseSizingPolicy(options.string("pod-vm-sizing")),
      pool,
      poolImageWaits: options.bool("pod-vm-pool-image-waits"),
    },
    tls,
    network: readNetwork(options),
    limits: readLimits(options),
    cleaning: readCleaning(options),
    metricsAddress: metricsAddress(options),
    verifyCloudConfig: options.bool("cloud-config-verify"),
    warnings: notes.warnings,
  };
}

/** The configuration of `cloud-api-adaptor shim-proxy`. Throws one `invalid-config` that names every problem. */
export function readShimProxyConfig(surroundings: OptionSources): ShimProxyConfig {
  const options = readOptions(flatten(SHIM_PROXY_OPTIONS), surroundings);
  refuseIfAny(options.problems);
  return {
    ...socketPaths(options),
    limits: {
      holdMs: durationMs(options, "hold-timeout"),
      downLimitMs: durationMs(options, "link-down-limit"),
      checkIdleMs: durationMs(options, "link-check-interval"),
      checkTimeoutMs: durationMs(options, "link-check-timeout"),
      unwrittenHoldMs: durationMs(options, "unsent-call-hold"),
      poisonDeaths: int(options, "poison-deaths"),
    },
    logLevel: logLevel(options),
    warnings: options.warnings,
  };
}

/** Throws one `invalid-config` for all of them, unless there is none. */
export function refuseIfAny(problems: readonly string[]): void {
  const [only] = problems;
  if (only === undefined) return;
  if (problems.length === 1) throw invalidConfig(only);
  throw invalidConfig(
    `${problems.length} settings are wrong:\n${problems.map((problem) => `- ${problem}`).join("\n")}`,
  );
}

function refusePlugins(surroundings: OptionSources, problems: string[]): void {
  // Only this very word switched plugins on: cloud-api-adaptor src/cloud-providers/table.go, LoadCloudProvider.
  if (surroundings.env["ENABLE_CLOUD_PROVIDER_EXTERNAL_PLUGIN"] !== "true") return;
  problems.push(
    "ENABLE_CLOUD_PROVIDER_EXTERNAL_PLUGIN=true: external provider plugins are Go shared objects, which this program cannot load; unset it and choose a provider of this build",
  );
}

function readPool(options: OptionResult, problems: string[]): readonly PoolEntry[] {
  try {
    return parsePool(options.list("pod-vm-pool"));
  } catch (error) {
    problems.push(describeError(error));
    return [];
  }
}

function readTls(options: OptionResult, notes: { problems: string[]; warnings: string[] }): TlsConfig {
  if (options.bool("disable-tls")) {
    notes.warnings.push("-disable-tls: nothing protects the agent's connections; use it for tests only");
    return { mode: "off" };
  }
  const skipVerify = options.bool("tls-skip-verify");
  if (skipVerify) {
    notes.warnings.push("TLS_SKIP_VERIFY: certificates of pod VMs are not verified; use it for tests only");
  }
  let profile = DEFAULT_TLS_PROFILE;
  try {
    profile = parseTlsProfile({
      minVersion: options.string("tls-min-version"),
      cipherSuites: options.list("tls-cipher-suites"),
    });
  } catch (error) {
    notes.problems.push(describeError(error));
  }
  notes.warnings.push(...tlsProfileWarnings(profile));
  if (profile.minVersion !== "" || profile.cipherSuites.length > 0) {
    notes.warnings.push(
      "TLS_MIN_VERSION and TLS_CIPHER_SUITES are fixed in each pod VM when it is made; VMs that run keep what they were made with",
    );
  }
  return { mode: "on", profile, skipVerify, customFiles: readCustomFiles(options, notes.problems) };
}

function readCustomFiles(options: OptionResult, problems: string[]): CustomTlsFiles | undefined {
  const files = {
    caFile: options.string("ca-cert-file"),
    certFile: options.string("cert-file"),
    keyFile: options.string("cert-key"),
  };
  const missing = [
    ...(files.caFile === "" ? ["CACERT_FILE"] : []),
    ...(files.certFile === "" ? ["CERT_FILE"] : []),
    ...(files.keyFile === "" ? ["CERT_KEY"] : []),
  ];
  if (missing.length === 3) return undefined;
  if (missing.length > 0) {
    problems.push(
      `${missing.join(" and ")} not set: CACERT_FILE, CERT_FILE and CERT_KEY are given together or not at all`,
    );
  }
  return files;
}

function readNode(options: OptionResult, surroundings: Surroundings): NodeConfig {
  const { hostname, serviceAccountNamespace = "" } = surroundings;
  const nodeName = options.string("node-name");
  return {
    inKubernetes: nodeName !== "",
    name: nodeName === "" ? hostname : nodeName,
    podUid: options.string("pod-uid"),
    podName: options.string("pod-name"),
    podNamespace: serviceAccountNamespace || options.string("pod-namespace"),
    runtimeClassName: options.string("runtimeclass-name"),
    clusterId: options.string("peerpods-cluster-id"),
    probePort: Number(options.string("probe-port")),
    notifySocket: options.string("notify-socket"),
  };
}

function readCluster(
  options: OptionResult,
  { env }: OptionSources,
  warnings: string[],
): ClusterConfig | undefined {
  if (options.string("node-name") === "") return undefined;
  const kubeconfigFile = options.string("kubeconfig");
  const serviceEnv = {
    KUBERNETES_SERVICE_HOST: env["KUBERNETES_SERVICE_HOST"] ?? "",
    KUBERNETES_SERVICE_PORT: env["KUBERNETES_SERVICE_PORT"] ?? "",
  };
  if (kubeconfigFile === "" && serviceEnv.KUBERNETES_SERVICE_HOST === "") {
    warnings.push(
      "NODE_NAME is set, but there is no way to the API server: outside a pod PEERPODS_KUBECONFIG names a file. There is no capacity, PeerPod, pull secret or Event",
    );
    return undefined;
  }
  return {
    kubeconfigFile,
    serviceEnv,
    nodeResource: nodeResourceMode(options.string("node-resource")),
    devicePluginDir: options.string("device-plugin-dir"),
  };
}

function socketPaths(
  options: OptionResult,
): Pick<PathsConfig, "hypervisorSocket" | "runDir" | "proxySocket"> {
  const hypervisorSocket = resolve(options.string("socket"));
  const runDir = options.string("run-dir") || dirname(hypervisorSocket);
  return {
    hypervisorSocket,
    runDir,
    proxySocket: options.string("proxy-socket") || join(runDir, "proxy.sock"),
  };
}

/** Of any command that declares WHERE_IT_ANSWERS. */
export function adminSocket(options: OptionReader): string {
  return adminSocketPath({
    adminSocket: options.string("admin-socket"),
    runDir: options.string("run-dir"),
    hypervisorSocket: options.string("socket"),
  });
}

function readPaths(options: OptionResult): PathsConfig {
  return {
    ...socketPaths(options),
    podsDir: resolve(options.string("pods-dir")),
    adminSocket: adminSocket(options),
    stateDir: options.string("state-dir"),
    bootIdFile: options.string("boot-id-file"),
  };
}

function readNetwork(options: OptionResult): NetworkConfig {
  return {
    tunnelType: "vxlan",
    vxlanPort: int(options, "vxlan-port"),
    vxlanMinId: int(options, "vxlan-min-id"),
    hostInterface: options.string("host-interface"),
    externalNetworkViaPodVm: options.bool("ext-network-via-podvm"),
    podSubnetCidrs: options.list("pod-subnet-cidrs"),
  };
}

function readLimits(options: OptionResult): LimitsConfig {
  return {
    maxVms: int(options, "peerpods-limit-per-node"),
    limitWaitMs: durationMs(options, "limit-wait"),
    createReservationTimeoutMs: durationMs(options, "create-reservation-timeout"),
    proxyTimeoutMs: durationMs(options, "proxy-timeout"),
    vmDeleteAttemptMs: durationMs(options, "vm-delete-attempt-timeout"),
    vmDeleteRetryMaxMs: durationMs(options, "vm-delete-retry-max"),
    orphanGraceMs: durationMs(options, "orphan-grace"),
    vmCheckIntervalMs: durationMs(options, "vm-check-interval"),
    shimProxyWaitMs: durationMs(options, "shim-proxy-wait"),
  };
}

function readCleaning(options: OptionReader): CleaningConfig {
  const mode = options.string("reaper");
  const endpoint = options.string("cri-endpoint").replace(/^unix:\/\//, "");
  return {
    criEndpoint: endpoint === "" ? "" : resolve(endpoint),
    reaper: mode === "off" || mode === "dry-run" ? mode : "on",
    reaperIntervalMs: durationMs(options, "reaper-interval"),
    reaperStartDeadlineMs: durationMs(options, "reaper-start-deadline"),
    reaperBudget: int(options, "reaper-budget"),
  };
}

function int(options: OptionReader, flag: string): number {
  const value = options.int(flag);
  if (value === undefined) throw internal(`option -${flag} has no default`);
  return value;
}

function durationMs(options: OptionReader, flag: string): number {
  const value = options.durationMs(flag);
  if (value === undefined) throw internal(`option -${flag} has no default`);
  return value;
}

const nodeResourceMode = (text: string): NodeResourceMode =>
  text === "off" || text === "device-plugin" ? text : "status";

const shimProxyMode = (text: string): ShimProxyMode =>
  text === "external" || text === "embedded" ? text : "auto";

/** Of any command that declares PROCESS_OPTIONS. */
export function logLevel(options: OptionReader): LogLevel {
  const text = options.string("log-level");
  return LOG_LEVELS.find((level) => level === text) ?? "info";
}
