import { createHash } from "node:crypto";
import type { OptionReader, OptionSpec, ProviderModule } from "../../providers/contract.ts";
import type { NetworkConfig, PodVmConfig } from "./config.ts";

/** The settings that VMs are made from. */
export interface VmSettings {
  readonly podVm: Pick<PodVmConfig, "sizing">;
  readonly network: Pick<NetworkConfig, "externalNetworkViaPodVm">;
  readonly providerOptions: OptionReader;
}

/**
 * Which settings VMs are made from, in a few characters: VMs of another revision may be of another image, network or size. The
 * same after a restart with the same settings. Secrets are no part of it, and no part of a VM.
 */
export function vmRevisionOf(config: VmSettings, module: Pick<ProviderModule, "name" | "options">): string {
  const { network, podVm, providerOptions } = config;
  const options = module.options
    .filter((spec) => spec.secret !== true)
    .map((spec) => [spec.flag, optionValue(spec, providerOptions)]);
  const text = JSON.stringify([module.name, podVm.sizing, network.externalNetworkViaPodVm, options]);
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

function optionValue({ flag, kind }: OptionSpec, options: OptionReader): unknown {
  switch (kind) {
    case "string":
      return options.string(flag);
    case "int":
      return options.int(flag);
    case "bool":
      return options.bool(flag);
    case "list":
      return options.list(flag);
    case "tags":
      return Object.entries(options.tags(flag)).sort(([a], [b]) => (a < b ? -1 : 1));
    case "duration":
      return options.durationMs(flag);
  }
}
