import type { ProviderModule } from "../contract.ts";
import { readConfig } from "./config.ts";
import { LocalHost, readScripts, SshHost } from "./host/index.ts";
import { observedHost } from "./observed-host.ts";
import { OPTIONS } from "./options.ts";
import { KvmProvider } from "./provider.ts";

/** Virtual machines on one's own KVM host, by QEMU alone. */
export const kvmModule: ProviderModule = {
  name: "kvm",
  options: OPTIONS,
  async create({ clock, exec, log, owner, onCall }, options) {
    const config = readConfig(options);
    const scripts = await readScripts();
    const machine =
      config.ssh === undefined ? new LocalHost(exec, scripts) : new SshHost(exec, scripts, config.ssh);
    const host = observedHost(machine, clock, onCall);
    return new KvmProvider({ clock, log, owner, config, host });
  },
};
