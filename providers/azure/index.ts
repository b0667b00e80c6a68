export { type AzureConfig, readConfig } from "./config.ts";
export { azureModule } from "./module.ts";
export { AZURE_OPTIONS } from "./options.ts";
export { type AzureOverrides, createAzureProvider } from "./provider.ts";
