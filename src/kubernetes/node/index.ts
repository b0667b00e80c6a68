export { NodeCapacity } from "./capacity.ts";
export { LIMIT_KEY, VM_RESOURCE } from "./capacity-plan.ts";
export { DevicePlugin } from "./device-plugin.ts";
