export { type IbmConfig, readConfig } from "./config.ts";
export { ibmcloudModule } from "./module.ts";
export { IBMCLOUD_OPTIONS } from "./options.ts";
export { createIbmProvider } from "./provider.ts";
