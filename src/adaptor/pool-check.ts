import type { Provider } from "../../providers/contract.ts";
import { invalidConfig } from "../errors/index.ts";
import type { AdaptorConfig } from "./config.ts";

/** The machine room's own guest waits for its user data; of other images the operator has to say so. */
const PROVIDERS_WITH_PATIENT_IMAGE: readonly string[] = ["mock"];

/** Throws `invalid-config` for a warm pool that could never give a pod a working VM. */
export function checkPool(config: AdaptorConfig, provider: Provider): void {
  const { pool, poolImageWaits } = config.podVm;
  if (pool.every(({ count }) => count === 0)) return;
  if (provider.updateUserData === undefined) {
    throw invalidConfig(
      `POD_VM_POOL: provider ${provider.name} cannot give a VM its user data after it was made, so there can be no warm pool; unset it`,
    );
  }
  if (poolImageWaits || PROVIDERS_WITH_PATIENT_IMAGE.includes(provider.name)) return;
  throw invalidConfig(
    "POD_VM_POOL: the stock pod VM image stops asking for user data 45 s after its boot, so VMs that wait longer could never serve a pod; use an image that goes on asking (docs/warm-pool.md) and set POD_VM_POOL_IMAGE_WAITS=true, or unset POD_VM_POOL",
  );
}
