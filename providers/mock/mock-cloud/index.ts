export type { Action, CreateRequest, Fault, FaultKind, Operation, StatusView, VmView } from "./api.ts";
export { ApiError } from "./api.ts";
export { type MockCloudClient, mockCloudClient } from "./client.ts";
export {
  type CloudSettings,
  DEFAULT_SETTINGS,
  DEFAULT_SOCKET,
  MOCK_CLOUD_OPTIONS,
  type MockCloudConfig,
  readMockCloudConfig,
} from "./config.ts";
export type { Call } from "./faults.ts";
export type { Intercept } from "./http-server.ts";
export { type MockCloudDeps, type RunningMockCloud, runMockCloud } from "./run.ts";
