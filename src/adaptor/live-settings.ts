import type { Provider, ProviderContext, ProviderModule } from "../../providers/contract.ts";
import { createDiscreetly } from "../../providers/redaction/index.ts";
import { withSizing } from "../../providers/selection/index.ts";
import type { ConfigurationStatus } from "../admin/index.ts";
import { describeError } from "../errors/index.ts";
import { type Clock, type Exec, LiveValue, type Log, type LogLevel } from "../platform/index.ts";
import type { SandboxConfig } from "../sandbox/index.ts";
import { blame } from "./blame.ts";
import type { AdaptorConfig, ConfigReader, ConfigReading } from "./config.ts";
import { EffectiveConfig } from "./effective-config.ts";
import { LiveProvider } from "./live-provider.ts";
import { checkPool } from "./pool-check.ts";
import { sandboxConfigOf } from "./sandbox-config.ts";
import { vmRevisionOf } from "./vm-revision.ts";

export interface LiveSettingsDeps {
  readonly clock: Clock;
  readonly exec: Exec;
  readonly log: Log;
  readonly logLevel: LiveValue<LogLevel>;
  /** Told of every call to the cloud. */
  readonly onCall: NonNullable<ProviderContext["onCall"]>;
}

/** What a configuration gives, ready to be put in force. */
interface Parts {
  readonly sandboxConfig: SandboxConfig;
  /** Undefined: the one that there is stays. */
  readonly provider: Provider | undefined;
}

const NOTHING_SAID: ConfigurationStatus = {
  source: "environment",
  trouble: null,
  changedAt: null,
  wrong: [],
  unknown: [],
  needRestart: [],
  overridden: [],
};

/** What is made from the configuration and can be made anew from another one while the process runs. */
export class LiveSettings {
  readonly #module: ProviderModule;
  readonly #deps: LiveSettingsDeps;
  /** As the operator has it; `sandboxConfig` adds what the cluster says. */
  readonly #base: LiveValue<SandboxConfig>;
  readonly #provider: LiveProvider;
  readonly sandboxConfig: EffectiveConfig;
  /** Where the configuration comes from, and what is wrong with it. */
  status: ConfigurationStatus = NOTHING_SAID;

  private constructor(
    module: ProviderModule,
    deps: LiveSettingsDeps,
    first: {
      readonly base: LiveValue<SandboxConfig>;
      readonly sandboxConfig: EffectiveConfig;
      readonly provider: Provider;
    },
  ) {
    this.#module = module;
    this.#deps = deps;
    this.#base = first.base;
    this.sandboxConfig = first.sandboxConfig;
    this.#provider = new LiveProvider(first.provider, deps.log);
  }

  /** Throws `invalid-config`. */
  static async open(
    config: AdaptorConfig,
    module: ProviderModule,
    deps: LiveSettingsDeps,
  ): Promise<LiveSettings> {
    const base = new LiveValue(sandboxConfigOf(config, vmRevisionOf(config, module)));
    const sandboxConfig = new EffectiveConfig(base);
    const provider = await makeProvider(config, module, { ...deps, owner: sandboxConfig.owner });
    checkPool(config, provider);
    return new LiveSettings(module, deps, { base, sandboxConfig, provider });
  }

  get provider(): Provider {
    return this.#provider.provider;
  }

  /**
   * Puts in force what can be of a version of the ConfigMap. A key that turns out to be of no use keeps its old value and keeps no
   * other from counting. One call at a time.
   */
  async apply(reader: ConfigReader, data: Readonly<Record<string, string>>): Promise<ConfigReading> {
    const refused = new Map<string, string>();
    for (;;) {
      const reading = reader.read(data, refused);
      const parts = await this.#make(reading);
      if (typeof parts !== "string") {
        this.#putInForce(reading, parts);
        reader.accept(reading);
        return reading;
      }
      for (const [key, why] of blame(parts, reading.changed)) refused.set(key, why);
    }
  }

  /** Why not, if nothing can be made of it. */
  async #make(reading: ConfigReading): Promise<Parts | string> {
    const { config, ofProvider } = reading;
    let provider: Provider | undefined;
    try {
      const sandboxConfig = sandboxConfigOf(config, vmRevisionOf(config, this.#module));
      const deps = { ...this.#deps, owner: this.sandboxConfig.owner };
      provider = ofProvider.length === 0 ? undefined : await makeProvider(config, this.#module, deps);
      checkPool(config, provider ?? this.provider);
      return { sandboxConfig, provider };
    } catch (error) {
      await provider?.close();
      return describeError(error);
    }
  }

  #putInForce({ changed, config }: ConfigReading, { sandboxConfig, provider }: Parts): void {
    if (changed.length === 0) return;
    if (provider !== undefined) this.#provider.replace(provider);
    this.#base.set(sandboxConfig);
    if (changed.includes("PEERPODS_LOG_LEVEL")) this.#deps.logLevel.set(config.logLevel);
  }

  async close(): Promise<void> {
    await this.#provider.close();
  }
}

/** Throws `invalid-config`. */
async function makeProvider(
  config: AdaptorConfig,
  module: ProviderModule,
  deps: LiveSettingsDeps & Pick<ProviderContext, "owner">,
): Promise<Provider> {
  const { clock, exec, log, onCall, owner } = deps;
  const context = { clock, exec, log: log.child({ provider: module.name }), owner, onCall };
  const made = await createDiscreetly(module, context, config.providerOptions);
  return withSizing(made, config.podVm.sizing);
}
