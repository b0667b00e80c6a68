export { FakeAccount, fakeConfig } from "./account.ts";
export { FakeIbm, type FakeIbmDeps } from "./fake-ibm.ts";
export type { IbmFault, IbmFaultKind, IbmSeenCall } from "./faults.ts";
export { type FakeIbmServer, serveFakeIbm } from "./https-server.ts";
export { inProcessAdapter } from "./in-process.ts";
export {
  defaultSettings,
  type FakeIbmSettings,
  fakeImage,
  IMAGE,
  IMAGE_SE,
  IMAGE_Z,
  LIST_J,
  LIST_Z,
} from "./settings.ts";
