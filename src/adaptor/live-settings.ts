import type { Provider, ProviderContext, ProviderModule } from "../../providers/contract.ts";
import { createDiscreetly } from "../../providers/redaction/index.ts";
import { withSizing } from "../../providers/selection/index.ts";
import type { ConfigurationStatus } from "../admin/index.ts";
import { type Clock, type Exec, LiveValue, type Log, type LogLevel } from "../platform/index.ts";
import type { AdaptorConfig } from "./config.ts";
import { EffectiveConfig } from "./effective-config.ts";
import { LiveProvider } from "./live-provider.ts";
import { checkPool } from "./pool-check.ts";
import { sandboxConfigOf } from "./sandbox-config.ts";

export interface LiveSettingsDeps {
  readonly clock: Clock;
  readonly exec: Exec;
  readonly log: Log;
  readonly logLevel: LiveValue<LogLevel>;
  /** Told of every call to the cloud. */
  readonly onCall: NonNullable<ProviderContext["onCall"]>;
}

/** What is made from the configuration and can be made anew from another one while the process runs. */
export class LiveSettings {
  readonly #sandboxConfig: EffectiveConfig;
  readonly #provider: LiveProvider;

  private constructor(
    deps: LiveSettingsDeps,
    first: { readonly sandboxConfig: EffectiveConfig; readonly provider: Provider },
  ) {
    this.#sandboxConfig = first.sandboxConfig;
    this.#provider = new LiveProvider(first.provider, deps.log);
  }

  /** Throws `invalid-config`. */
  static async open(
    config: AdaptorConfig,
    module: ProviderModule,
    deps: LiveSettingsDeps,
  ): Promise<LiveSettings> {
    const sandboxConfig = new EffectiveConfig(new LiveValue(sandboxConfigOf(config)));
    const provider = await makeProvider(config, module, { ...deps, owner: sandboxConfig.owner });
    return new LiveSettings(deps, { sandboxConfig, provider });
  }

  get sandboxConfig(): EffectiveConfig {
    return this.#sandboxConfig;
  }

  /** Where the configuration comes from, and what is wrong with it. */
  get status(): ConfigurationStatus {
    return {
      source: "environment",
      trouble: null,
      changedAt: null,
      wrong: [],
      unknown: [],
      needRestart: [],
      overridden: [],
    };
  }

  get provider(): Provider {
    return this.#provider.provider;
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
  const provider = withSizing(made, config.podVm.sizing);
  checkPool(config, provider);
  return provider;
}
