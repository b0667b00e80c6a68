export { blame } from "./blame.ts";
export type {
  AdaptorConfig,
  CleaningConfig,
  ClusterConfig,
  ConfigNote,
  ConfigReader,
  ConfigReading,
  CustomTlsFiles,
  LimitsConfig,
  MakeConfigReader,
  NetworkConfig,
  NodeConfig,
  NodeResourceMode,
  PathsConfig,
  PodVmConfig,
  ShimProxyMode,
  TlsConfig,
} from "./config.ts";
export { crashPoints } from "./crash-points.ts";
export { type AdaptorSurroundings, runAdaptor } from "./run-adaptor.ts";
