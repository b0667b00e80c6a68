import type { CreateOptions, Finding, ListFilter, Provider, Vm, VmRef, VmRequest } from "../contract.ts";
import { createVm, USER_DATA_BYTES } from "./create.ts";
import { deleteVm } from "./delete.ts";
import type { KvmDeps } from "./deps.ts";
import { onHost } from "./host-errors.ts";
import { hostFacts } from "./launch-check.ts";
import { withMonitor } from "./monitor.ts";
import { roomFor } from "./room.ts";
import { verifyHost } from "./verify.ts";
import { CONSOLE_BYTES, listVms, seenVms } from "./views.ts";

/** Pod VMs as QEMU processes of a KVM host. */
export class KvmProvider implements Provider {
  readonly name = "kvm";
  readonly limits: Provider["limits"] = { userDataBytes: USER_DATA_BYTES };
  readonly #deps: KvmDeps;

  constructor(deps: KvmDeps) {
    this.#deps = deps;
  }

  verify(signal: AbortSignal): Promise<readonly Finding[]> {
    return verifyHost(this.#deps, signal);
  }

  create(request: VmRequest, options: CreateOptions): Promise<Vm> {
    return createVm(this.#deps, request, options);
  }

  async get(ref: VmRef, signal: AbortSignal): Promise<Vm | undefined> {
    const [seen] = await seenVms(this.#deps, [ref.name], { what: `looking for VM ${ref.name}`, signal });
    if (seen?.vm.lifecycle !== "running") return seen?.vm;
    const detail = await this.#troubles(ref.name, signal);
    return detail === undefined ? seen.vm : { ...seen.vm, detail };
  }

  delete(ref: VmRef, signal: AbortSignal): Promise<void> {
    return deleteVm(this.#deps, ref, signal);
  }

  list(filter: ListFilter, signal: AbortSignal): Promise<readonly Vm[]> {
    return listVms(this.#deps, filter, signal);
  }

  async console(ref: VmRef, signal: AbortSignal): Promise<string> {
    const values = { BASE: this.#deps.config.dir, NAME: ref.name, CONSOLE_BYTES };
    const context = { what: `reading the console of VM ${ref.name}`, signal };
    return onHost(this.#deps.host, { script: "console", values }, context);
  }

  async quota(signal: AbortSignal): Promise<number | undefined> {
    const facts = await hostFacts(this.#deps, "", { what: "asking for the host's memory", signal });
    return roomFor(this.#deps.config, facts);
  }

  async close(): Promise<void> {
    await this.#deps.host.close();
  }

  /** A QEMU that exists may have stopped its VM, because the host's disk is full or the guest crashed. */
  async #troubles(name: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      const status = await withMonitor(this.#deps, name, (qmp) => qmp.status(), { signal });
      return status === "running" ? undefined : `its QEMU is ${status}`;
    } catch {
      return signal.aborted ? undefined : "its QEMU does not answer on its monitor";
    }
  }
}
