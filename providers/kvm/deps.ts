import type { Clock, Log } from "../../src/platform/index.ts";
import type { OwnerIdentity } from "../contract.ts";
import type { KvmConfig } from "./config.ts";
import type { KvmHost } from "./host/index.ts";

/** What the provider's parts work with. */
export interface KvmDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly owner: OwnerIdentity;
  readonly config: KvmConfig;
  readonly host: KvmHost;
}
