import { type AzureConfig, createAzureProvider } from "../../../providers/azure/index.ts";
import type { CloudCall, OwnerIdentity, Provider, ProviderContext } from "../../../providers/contract.ts";
import { type Clock, Secret, silentLog, systemExec } from "../../../src/platform/index.ts";
import { type ClockView, VirtualClock } from "../clock/index.ts";
import { type ArmVerdict, FakeAzure } from "./fake-azure.ts";
import { FAKE_ENDPOINT, inProcessClient } from "./in-process.ts";
import { defaultSettings, type FakeAzureSettings, GROUP, IMAGE, SUBSCRIPTION } from "./settings.ts";

/** A provider's settings that fit the fake. */
export function fakeConfig(over: Partial<AzureConfig> = {}): AzureConfig {
  const { subnetId, securityGroupId, region } = defaultSettings();
  return {
    identity: { kind: "secret", tenantId: "t", clientId: "c", clientSecret: new Secret("s") },
    authorityHost: "https://login.fake-azure.test",
    endpoint: FAKE_ENDPOINT,
    subscriptionId: SUBSCRIPTION,
    region,
    resourceGroup: GROUP,
    zones: [],
    subnetId,
    securityGroupId,
    publicIp: false,
    defaultSize: "Standard_DC2as_v5",
    allowedSizes: ["Standard_DC2as_v5", "Standard_DC4as_v5", "Standard_DC8as_v5"],
    ordinarySizes: [],
    imageId: IMAGE,
    sshKeyPath: "",
    sshUser: "peerpod",
    confidential: true,
    secureBoot: false,
    rootVolumeGB: 0,
    tags: {},
    createTimeoutMs: 600_000,
    ...over,
  };
}

/** A key of the form that Azure takes; its private half never existed. */
export const SSH_KEY: string = `ssh-rsa ${Buffer.alloc(280, "AAAAB3NzaC1yc2E").toString("base64")}`;

interface Hold {
  readonly call: { readonly number: number; readonly moment: "before" | "after" };
  readonly hook: () => Promise<ArmVerdict>;
}

/** One fake cloud on a virtual clock, and providers that use it as processes of their own would. */
export class FakeAccount {
  readonly clock: VirtualClock = new VirtualClock();
  readonly azure: FakeAzure;
  /** What the providers told of their calls. */
  readonly told: CloudCall[] = [];
  #hold: Hold | undefined;
  #caller: ClockView | undefined;

  constructor(settings: Partial<FakeAzureSettings> = {}) {
    this.azure = new FakeAzure({
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
      call: { number: this.azure.calls.length + call.number, moment: call.moment },
      hook,
    };
  }

  /** A provider as a process of its own: own caches, own view of the time, own tokens. */
  async provider(
    over: Partial<AzureConfig> = {},
    owner: OwnerIdentity = { clusterId: "cluster-a", nodeName: "node-1" },
  ): Promise<Provider> {
    const clock = this.clock.view();
    const client = inProcessClient(this.azure);
    return createAzureProvider(this.#context(clock, owner), fakeConfig(over), {
      httpClient: {
        sendRequest: (request) => {
          this.#caller = clock;
          return client.sendRequest(request);
        },
      },
      credential: { getToken: async () => this.azure.issueToken() },
      random: () => 0.5,
      sshPublicKey: SSH_KEY,
    });
  }

  #context(clock: Clock, owner: OwnerIdentity): ProviderContext {
    const onCall = (call: CloudCall): void => {
      this.told.push(call);
    };
    return { clock, exec: systemExec, log: silentLog, owner, onCall };
  }
}
