import type { ProviderModule } from "../../providers/contract.ts";
import { adaptorOptionGroups, flatten } from "./config.ts";
import { CONTROLLER_OPTIONS } from "./controller-options.ts";
import { SHIM_PROXY_OPTIONS } from "./shim-proxy-options.ts";
import { WEBHOOK_OPTIONS } from "./webhook-options.ts";

/** Read by Node, by a cloud's SDK or by the image, and rightly in a ConfigMap that is a process's environment. */
const OTHERS: readonly string[] = [
  "CLOUD_PROVIDER",
  "ENABLE_CLOUD_PROVIDER_EXTERNAL_PLUGIN",
  "CLOUD_PROVIDER_EXTERNAL_PLUGIN_PATH",
  "CLOUD_PROVIDER_EXTERNAL_PLUGIN_HASH",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
  "NODE_EXTRA_CA_CERTS",
  "NODE_OPTIONS",
  "NODE_USE_ENV_PROXY",
  "TZ",
];

/** Every variable that a process of this provider's installation reads: all of them may be given the same ConfigMap. */
export function knownKeys(module: Pick<ProviderModule, "name" | "options">): ReadonlySet<string> {
  const groups = [
    ...adaptorOptionGroups(module),
    ...SHIM_PROXY_OPTIONS,
    ...WEBHOOK_OPTIONS,
    ...CONTROLLER_OPTIONS,
  ];
  return new Set([...flatten(groups).flatMap(({ env }) => env ?? []), ...OTHERS]);
}
