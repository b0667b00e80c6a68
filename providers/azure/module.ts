import type { ProviderModule } from "../contract.ts";
import { readConfig } from "./config.ts";
import { AZURE_OPTIONS } from "./options.ts";
import { createAzureProvider } from "./provider.ts";

/** The Azure provider: confidential and ordinary VMs of one subscription, region and resource group. */
export const azureModule: ProviderModule = {
  name: "azure",
  options: AZURE_OPTIONS,
  create: (context, options) => createAzureProvider(context, readConfig(options)),
};
