import type { CloudCall, OwnerIdentity, Provider } from "../../../providers/contract.ts";
import { createIbmProvider, type IbmConfig } from "../../../providers/ibmcloud/index.ts";
import { Secret, silentLog, systemExec } from "../../../src/platform/index.ts";
import { type ClockView, VirtualClock } from "../clock/index.ts";
import { FakeIbm, type IbmVerdict } from "./fake-ibm.ts";
import { inProcessAdapter } from "./in-process.ts";
import { defaultSettings, type FakeIbmSettings, IMAGE } from "./settings.ts";

/** A provider's settings that fit the fake. */
export function fakeConfig(over: Partial<IbmConfig> = {}): IbmConfig {
  const { vpcId, resourceGroupId } = defaultSettings();
  return {
    identity: {
      kind: "api-key",
      apiKey: new Secret("fake-api-key"),
      iamUrl: "https://iam.cloud.ibm.com/identity/token",
    },
    vpcUrl: "",
    taggingUrl: "https://tags.global-search-tagging.cloud.ibm.com",
    containersUrl: "https://containers.cloud.ibm.com/global",
    clusterId: "",
    resourceGroupId,
    zone: "eu-de-1",
    vpcId,
    subnetId: "02b7-subnet-1",
    fallbackSubnetIds: [],
    secondarySubnetId: "",
    secondarySecurityGroupId: "",
    securityGroupIds: ["r010-sg-1"],
    hostIds: [],
    hostGroupIds: [],
    defaultProfile: "bx2-2x8",
    allowedProfiles: ["bx2-2x8", "bx2-4x16", "cx2-8x16"],
    imageIds: [IMAGE],
    seImageIds: [],
    keyId: "",
    confidential: false,
    tags: [],
    createTimeoutMs: 600_000,
    ...over,
  };
}

interface Hold {
  readonly call: { readonly number: number; readonly moment: "before" | "after" };
  readonly hook: () => Promise<IbmVerdict>;
}

/** One fake cloud on a virtual clock, and providers that use it as processes of their own would. */
export class FakeAccount {
  readonly clock: VirtualClock = new VirtualClock();
  readonly ibm: FakeIbm;
  /** What the providers told of their calls. */
  readonly told: CloudCall[] = [];
  #hold: Hold | undefined;
  #caller: ClockView | undefined;

  constructor(settings: Partial<FakeIbmSettings> = {}) {
    this.ibm = new FakeIbm({
      clock: this.clock,
      settings,
      intercept: async ({ number, moment }) => {
        const hold = this.#hold;
        if (hold?.call.number !== number || hold.call.moment !== moment) return "go";
        const caller = this.#caller;
        caller?.freeze();
        try {
          return await hold.hook();
        } finally {
          caller?.thaw();
        }
      },
    });
  }

  /** Holds call `number` (0 is the next) at a moment; the process that made it is frozen meanwhile. */
  hold(call: Hold["call"] | undefined, hook: Hold["hook"]): void {
    this.#hold = call && {
      call: { number: this.ibm.calls.length + call.number, moment: call.moment },
      hook,
    };
  }

  /** A provider as a process of its own: own caches, own view of the time, own tokens. */
  async provider(
    over: Partial<IbmConfig> = {},
    owner: OwnerIdentity = { clusterId: "cluster-a", nodeName: "node-1" },
  ): Promise<Provider> {
    const clock = this.clock.view();
    const adapter = inProcessAdapter(this.ibm, clock);
    const onCall = (call: CloudCall): void => {
      this.told.push(call);
    };
    const context = { clock, exec: systemExec, log: silentLog, owner, onCall };
    return createIbmProvider(context, fakeConfig(over), {
      adapter: (config) => {
        this.#caller = clock;
        return adapter(config);
      },
      random: () => 0.5,
    });
  }
}
