import type { WebhookPolicy } from "./policy.ts";

/** The policy of an operator who set nothing. */
export const testPolicy = (over: Partial<WebhookPolicy> = {}): WebhookPolicy => ({
  runtimeClass: "kata-remote",
  extendedResource: "kata.peerpods.io/vm",
  initContainers: "sum",
  defaultCpu: 0n,
  defaultMemory: 0n,
  gpuResources: ["nvidia.com/gpu"],
  unknownResources: "strip",
  badAnnotations: "warn",
  allowedMachineTypes: undefined,
  chooseEnclaveMachine: undefined,
  ...over,
});
