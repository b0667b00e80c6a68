import type { OptionReader } from "../../providers/contract.ts";
import type { SizingPolicy } from "../../providers/selection/index.ts";
import type { MetricsAddress } from "../observe/index.ts";
import type { LogLevel } from "../platform/index.ts";
import type { PoolEntry } from "../sandbox/index.ts";
import type { TlsProfile } from "../tls/index.ts";

/** Who this process is, and whose VMs it makes. */
export interface NodeConfig {
  /** NODE_NAME is set: capacity, owner and probe are Kubernetes' business. */
  readonly inKubernetes: boolean;
  /** NODE_NAME, else the host's name. */
  readonly name: string;
  /** "": not known. */
  readonly podUid: string;
  /** "": not known. */
  readonly podName: string;
  /** Of this pod, where the service account's file does not tell it. */
  readonly podNamespace: string;
  readonly runtimeClassName: string;
  /** "": to be asked of Kubernetes; outside it VMs must not be listed by tag, nor reaped. */
  readonly clusterId: string;
  readonly probePort: number;
  /** "": not under systemd. */
  readonly notifySocket: string;
}

/** How the node's capacity of pod VMs becomes known to the scheduler. */
export type NodeResourceMode = "status" | "device-plugin" | "off";

/** The cluster that this node is of. */
export interface ClusterConfig {
  /** "": as a pod of it. */
  readonly kubeconfigFile: string;
  /** What the kubelet tells pods of the API server's address. */
  readonly serviceEnv: Readonly<Record<"KUBERNETES_SERVICE_HOST" | "KUBERNETES_SERVICE_PORT", string>>;
  readonly nodeResource: NodeResourceMode;
  /** Where the kubelet has its sockets; absolute. */
  readonly devicePluginDir: string;
}

/** Absolute paths. */
export interface PathsConfig {
  readonly hypervisorSocket: string;
  readonly podsDir: string;
  readonly runDir: string;
  readonly proxySocket: string;
  readonly adminSocket: string;
  readonly stateDir: string;
  readonly bootIdFile: string;
}

export type ShimProxyMode = "auto" | "external" | "embedded";

/** Paths of the operator's own certificates. */
export interface CustomTlsFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** How pod VMs and the node know each other. `off` is for tests. */
export type TlsConfig =
  | { readonly mode: "off" }
  | {
      readonly mode: "on";
      readonly profile: TlsProfile;
      readonly skipVerify: boolean;
      /** The operator's own certificates; undefined: keys are made per VM. */
      readonly customFiles: CustomTlsFiles | undefined;
    };

export interface NetworkConfig {
  readonly tunnelType: "vxlan";
  readonly vxlanPort: number;
  readonly vxlanMinId: number;
  /** "": the interface of the default route. */
  readonly hostInterface: string;
  readonly externalNetworkViaPodVm: boolean;
  readonly podSubnetCidrs: readonly string[];
}

export interface LimitsConfig {
  /** Most VMs of this node; negative: not limited, not advertised. */
  readonly maxVms: number;
  readonly limitWaitMs: number;
  readonly createReservationTimeoutMs: number;
  /** From the VM's address to the first answer of its agent. */
  readonly proxyTimeoutMs: number;
  /** One attempt to delete a VM, and the longest pause until the next. */
  readonly vmDeleteAttemptMs: number;
  readonly vmDeleteRetryMaxMs: number;
  readonly orphanGraceMs: number;
  /** 0: never. */
  readonly vmCheckIntervalMs: number;
  readonly shimProxyWaitMs: number;
}

/** Finding what nobody owns. */
export interface CleaningConfig {
  /** Absolute path; "": there is no container runtime to ask. */
  readonly criEndpoint: string;
  readonly reaper: "on" | "dry-run" | "off";
  readonly reaperIntervalMs: number;
  readonly reaperStartDeadlineMs: number;
  readonly reaperBudget: number;
}

export interface PodVmConfig {
  /** "": the VM image's own. */
  readonly pauseImage: string;
  readonly forwarderPort: number;
  /** As given, without surrounding white space; "": none. Not yet checked: src/user-data does. */
  readonly initdata: string;
  readonly enableScratchSpace: boolean;
  readonly sizing: SizingPolicy;
  readonly pool: readonly PoolEntry[];
  /** The image goes on asking for user data for as long as it gets the pool's. */
  readonly poolImageWaits: boolean;
}

/** All that an operator told one adaptor, checked. */
export interface AdaptorConfig {
  readonly provider: string;
  /** Holds the provider's own options and the common ones. */
  readonly providerOptions: OptionReader;
  readonly logLevel: LogLevel;
  readonly node: NodeConfig;
  /** Undefined: not in Kubernetes, or its API server cannot be found. */
  readonly cluster: ClusterConfig | undefined;
  readonly paths: PathsConfig;
  readonly shimProxy: ShimProxyMode;
  readonly podVm: PodVmConfig;
  readonly tls: TlsConfig;
  readonly network: NetworkConfig;
  readonly limits: LimitsConfig;
  readonly cleaning: CleaningConfig;
  /** Where metrics are served while this adaptor owns the node; undefined: on the admin socket only. */
  readonly metricsAddress: MetricsAddress | undefined;
  /** Ask the cloud before serving, and end when it finds an error. */
  readonly verifyCloudConfig: boolean;
  /** One sentence each, to be logged at start. */
  readonly warnings: readonly string[];
}

/** A key, and what is to be said about it. */
export interface ConfigNote {
  readonly key: string;
  readonly text: string;
}

/** What a version of the ConfigMap makes of the configuration. */
export interface ConfigReading {
  /** To be in force from now on. */
  readonly config: AdaptorConfig;
  /** Keys whose value is another than before. */
  readonly changed: readonly string[];
  /** Those of them that the provider is made from. */
  readonly ofProvider: readonly string[];
  /** Wrong values: the old ones stay in force. */
  readonly wrong: readonly ConfigNote[];
  readonly unknown: readonly ConfigNote[];
  readonly needRestart: readonly ConfigNote[];
  readonly overridden: readonly ConfigNote[];
}

/** Reads the configuration again when the ConfigMap changes, by the rules of a start. */
export interface ConfigReader {
  /**
   * `refused`: keys whose new values turned out to be of no use, and why. Changes nothing by itself: call `accept` with what is put
   * in force.
   */
  read(data: Readonly<Record<string, string>>, refused?: ReadonlyMap<string, string>): ConfigReading;
  accept(reading: ConfigReading): void;
  /** What is in force. */
  readonly config: AdaptorConfig;
}

/** What makes a reader. `explicitKeys`: variables that the container sets by itself; undefined: not known. */
export type MakeConfigReader = (explicitKeys: ReadonlySet<string> | undefined) => Promise<ConfigReader>;
