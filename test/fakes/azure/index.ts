export { FakeAccount, fakeConfig, SSH_KEY } from "./account.ts";
export { type Booter, nullBooter } from "./booter.ts";
export { FAKE_SIZES, type FakeSize } from "./catalogue.ts";
export { FakeAzure, type FakeAzureDeps } from "./fake-azure.ts";
export type { ArmCall, ArmFault, ArmFaultKind } from "./faults.ts";
export { FAKE_ENDPOINT, inProcessClient } from "./in-process.ts";
export { defaultSettings, type FakeAzureSettings, GROUP, IMAGE, SUBSCRIPTION } from "./settings.ts";
