import type { ProviderModule } from "../contract.ts";
import { readConfig } from "./config.ts";
import { IBMCLOUD_OPTIONS } from "./options.ts";
import { createIbmProvider } from "./provider.ts";

/** The IBM Cloud provider: instances of one VPC, on x86 (TDX or not) and s390x (Secure Execution or not). */
export const ibmcloudModule: ProviderModule = {
  name: "ibmcloud",
  options: IBMCLOUD_OPTIONS,
  create: (context, options) => createIbmProvider(context, readConfig(options)),
};
