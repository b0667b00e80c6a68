export { connectIbm, type IbmConnection, type IbmTransport } from "./connection.ts";
export { regionOf, TDX_REGIONS, vpcEndpoint } from "./endpoints.ts";
export {
  type ErrorContext,
  fromFailure,
  ibmFailure,
  isAbsent,
  isLinuxOne,
  LINUXONE_NOTE,
  toCaaError,
} from "./errors.ts";
export { type IbmFailure, isNameTaken } from "./failure.ts";
export { IbmApi } from "./ibm-api.ts";
export type {
  Image,
  Instance,
  NetworkAttachment,
  Profile,
  ProfileNumber,
  Vni,
  Volume,
  Worker,
} from "./models.ts";
export type { IbmIdentity } from "./token.ts";
export { untilAborted } from "./until-aborted.ts";
