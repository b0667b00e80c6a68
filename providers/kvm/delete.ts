import type { VmRef } from "../contract.ts";
import type { KvmDeps } from "./deps.ts";
import { onHost } from "./host-errors.ts";
import { withMonitor } from "./monitor.ts";
import { networkValues } from "./network-values.ts";
import { TAP_PREFIX } from "./record.ts";
import { seenVms } from "./views.ts";

/** Ends the VM and removes all that was made for it. First it may turn itself off, then it is ended, and nobody is asked again. */
export async function deleteVm(deps: KvmDeps, ref: VmRef, signal: AbortSignal): Promise<void> {
  const { config, host } = deps;
  const context = { what: `deleting VM ${ref.name}`, signal };
  if (config.stopTimeoutMs > 0) {
    const [seen] = await seenVms(deps, [ref.name], context);
    if (seen?.vm.lifecycle === "running") await askToStop(deps, ref.name, signal);
  }
  const values = {
    BASE: config.dir,
    NAME: ref.name,
    ID: ref.id ?? "",
    TAP_PREFIX,
    ...networkValues(config.network),
  };
  await onHost(host, { script: "remove", values }, context);
}

/** Presses the power button and waits until QEMU has ended, or the time is over. What does not work is left to force. */
async function askToStop(deps: KvmDeps, name: string, signal: AbortSignal): Promise<void> {
  const { log, config } = deps;
  try {
    await withMonitor(
      deps,
      name,
      async (qmp) => {
        await qmp.execute("system_powerdown");
        await qmp.untilEnded();
      },
      { signal, limitMs: config.stopTimeoutMs },
    );
  } catch {
    if (!signal.aborted) log.debug("the VM did not turn itself off in time", { vmName: name });
  }
}
