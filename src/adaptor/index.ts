export type {
  AdaptorConfig,
  CleaningConfig,
  ClusterConfig,
  CustomTlsFiles,
  LimitsConfig,
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
