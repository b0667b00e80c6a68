import type { ProviderModule } from "./contract.ts";

/** The providers of this build. Each is loaded only when it is the one that runs. */
export const PROVIDERS: Readonly<Record<string, () => Promise<ProviderModule>>> = {
  azure: async () => (await import("./azure/index.ts")).azureModule,
  ibmcloud: async () => (await import("./ibmcloud/index.ts")).ibmcloudModule,
  kvm: async () => (await import("./kvm/index.ts")).kvmModule,
  mock: async () => (await import("./mock/index.ts")).mockProvider,
};

export type * from "./contract.ts";
export { OwnerTag } from "./contract.ts";
