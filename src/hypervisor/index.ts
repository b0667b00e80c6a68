export { hypervisorHandlers, podVmInfoHandlers, type ReadyManager } from "./service.ts";
