import type { Vm, VmLifecycle } from "../contract.ts";
import type { IbmFailure, Instance, NetworkAttachment } from "./api/index.ts";

/** The lifecycle word for what IBM says. */
export function lifecycleOf(instance: Instance): VmLifecycle {
  if (instance.status === "deleting" || instance.lifecycle_state === "deleting") return "deleting";
  if (instance.status === "failed" || instance.lifecycle_state === "failed") return "failed";
  switch (instance.status) {
    case "pending":
    case "starting":
      return "creating";
    case "stopping":
    case "stopped":
      return "stopped";
    default:
      return "running";
  }
}

/** Why an instance that should run does not; undefined while it does or may yet. */
export function failureOf(instance: Instance): IbmFailure | undefined {
  const lifecycle = lifecycleOf(instance);
  if (lifecycle !== "failed" && lifecycle !== "stopped") return undefined;
  const reason = instance.status_reasons[0] ?? instance.lifecycle_reasons[0];
  return {
    status: 0,
    code: reason?.code ?? "",
    message: reason?.message || `the instance is ${instance.status}, and IBM does not say why`,
    trace: "",
  };
}

function isUsable(address: string | undefined): address is string {
  return address !== undefined && address !== "" && address !== "0.0.0.0";
}

/** The addresses now, the primary interface's first. IBM lists the primary one among all, too. */
export function addressesOf(instance: Instance): readonly string[] {
  const primary = instance.primary_network_attachment ?? instance.primary_network_interface;
  const all =
    instance.network_attachments.length > 0 ? instance.network_attachments : instance.network_interfaces;
  const others = all.filter((one) => one.id !== primary?.id);
  const ordered: readonly (NetworkAttachment | undefined)[] = [primary, ...others];
  const addresses = ordered.map((one) => one?.primary_ip?.address);
  // A later one must never be taken for the one to dial.
  return isUsable(addresses[0]) ? addresses.filter(isUsable) : [];
}

/** Whether a create is over: it runs with all its addresses, or it will not. */
export function isSettled(instance: Instance | undefined, interfaces: number): boolean {
  if (!instance) return true;
  const lifecycle = lifecycleOf(instance);
  if (lifecycle === "creating") return false;
  return (
    lifecycle !== "running" || (instance.status === "running" && addressesOf(instance).length >= interfaces)
  );
}

/** The contract's view of an instance. */
export function viewInstance(instance: Instance, tags: Readonly<Record<string, string>>): Vm {
  const failure = failureOf(instance);
  const createdAtMs = Date.parse(instance.created_at);
  return {
    id: instance.id,
    name: instance.name,
    lifecycle: lifecycleOf(instance),
    addresses: addressesOf(instance),
    tags,
    ...(Number.isNaN(createdAtMs) ? {} : { createdAtMs }),
    ...(failure ? { detail: `${failure.code} ${failure.message}`.trim() } : {}),
  };
}
