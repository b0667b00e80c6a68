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
  INITDATA_ALGORITHMS,
  type Initdata,
  type InitdataAlgorithm,
  initdataDigest,
  parseInitdata,
} from "./initdata.ts";
export {
  checkInitdata,
  type InitdataFinding,
  USER_DATA_LIMITS,
  type UserDataLimit,
} from "./initdata-check.ts";
export { composeInitdata, INITDATA_FILES, type InitdataParts, kbsFiles } from "./initdata-compose.ts";
export { type ExpectedValue, expectedValues, PLATFORMS, type Platform } from "./initdata-expected.ts";
export { POOL_USER_DATA } from "./pool-user-data.ts";
export { podVmName } from "./vm-name.ts";
