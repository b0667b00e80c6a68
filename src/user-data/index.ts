export {
  type ApfConfig,
  type ApfInput,
  apfJson,
  buildApfConfig,
  type PodNeighbor,
  type PodNetworkSpec,
  type PodRoute,
} from "./apf-config.ts";
export { buildCloudConfig, type CloudConfigInput, MAX_AUTH_JSON_BYTES } from "./cloud-config.ts";
export {
  chooseInitdata,
  encodeInitdata,
  type Initdata,
  type InitdataAlgorithm,
  initdataDigest,
  parseInitdata,
} from "./initdata.ts";
export { podVmName } from "./vm-name.ts";
