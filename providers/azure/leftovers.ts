import { type CaaError, unavailable } from "../../src/errors/index.ts";
import { OwnerTag } from "../contract.ts";
import { classifyError, pause } from "../retry/index.ts";
import { parseArmId, sameArm } from "./arm/index.ts";
import { type AzureDeps, translator, type VmTarget } from "./deps.ts";
import { companionNames, VM_TAG } from "./vm-body.ts";

/** An interface, disk or public address that was made along with a VM. */
export interface Companion {
  readonly kind: "nic" | "disk" | "publicIp";
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  /** The VM it is attached to, "" for none. */
  readonly attachedTo: string;
  readonly createdAtMs?: number;
}

/** What made for VMs is in the group now: interfaces and disks, and public addresses where they are used. */
export async function listCompanions(
  deps: AzureDeps,
  group: string,
  signal: AbortSignal,
): Promise<readonly Companion[]> {
  const lists = deps.groups.get(group);
  const [nics, disks, addresses] = await Promise.all([
    lists.nics.get(signal),
    lists.disks.get(signal),
    deps.config.publicIp ? lists.publicIps.get(signal) : [],
  ]);
  const owner = (id: string | undefined): string => (id === undefined ? "" : (parseArmId(id)?.name ?? id));
  return [
    ...nics.map(
      (nic): Companion => ({
        kind: "nic",
        name: nic.name ?? "",
        tags: nic.tags ?? {},
        attachedTo: owner(nic.virtualMachine?.id),
      }),
    ),
    ...disks.map(
      (disk): Companion => ({
        kind: "disk",
        name: disk.name ?? "",
        tags: disk.tags ?? {},
        attachedTo: owner(disk.managedBy),
        ...(disk.timeCreated ? { createdAtMs: disk.timeCreated.getTime() } : {}),
      }),
    ),
    ...addresses.map(
      (address): Companion => ({
        kind: "publicIp",
        name: address.name ?? "",
        tags: address.tags ?? {},
        attachedTo: "",
      }),
    ),
  ];
}

/** The VM that a companion was made for: by its tag, or for those that Azure does not tag by the exact name of its disk. */
export function companionOf(deps: AzureDeps, companion: Companion, vmName: string): boolean {
  const cluster = companion.tags[OwnerTag.Cluster];
  const ours = deps.owner.clusterId;
  if (cluster !== undefined && ours !== "" && cluster !== ours) return false;
  if (companion.attachedTo !== "" && !sameArm(companion.attachedTo, vmName)) return false;
  const tagged = companion.tags[VM_TAG];
  if (tagged !== undefined) return sameArm(tagged, vmName);
  return isNamedFor(companion, vmName);
}

/** Whether it has one of the names that we give. */
export function isNamedFor(companion: Companion, vmName: string): boolean {
  const names = companionNames(vmName);
  const fitting = companion.kind === "disk" ? [names.disk] : names.nics;
  return fitting.some((name) => sameArm(companion.name, name));
}

/** How long what a VM leaves behind is fought for: Azure holds an interface 180 s for a VM that failed. */
const FIGHT_MS = 300_000;
const ROUND_PAUSE_MS = 10_000;

/**
 * Deletes what is left of a VM that is gone, and resolves when a list made afterwards shows none of it. Throws
 * `unavailable` when something resists for five minutes: the caller tries again later.
 */
export async function removeLeftovers(deps: AzureDeps, target: VmTarget, signal: AbortSignal): Promise<void> {
  const translate = translator(deps, signal);
  const untilMs = deps.clock.monotonicMs() + FIGHT_MS;
  for (;;) {
    let all: readonly Companion[];
    try {
      all = await listCompanions(deps, target.group, signal);
    } catch (error) {
      const failed = translate(error, `look for what is left of VM ${target.name}`);
      // Without the group there is nothing in it.
      if (failed.kind === "gone") return;
      throw failed;
    }
    const left = all.filter((one) => companionOf(deps, one, target.name));
    if (left.length === 0) return;
    await refuseLiving(deps, { target, left }, signal);
    const problems = await removeAll(deps, { group: target.group, left }, signal);
    if (deps.clock.monotonicMs() >= untilMs) {
      const names = left.map((one) => `${one.kind} ${one.name}`).join(", ");
      throw unavailable(`VM ${target.name} is gone, but not ${names}: try again`, { cause: problems[0] });
    }
    if (problems.length > 0) await pause(deps.clock, ROUND_PAUSE_MS, signal);
  }
}

/** What hangs on the VM says that it is there in spite of all: then the delete has to begin again. */
async function refuseLiving(
  deps: AzureDeps,
  found: { readonly target: VmTarget; readonly left: readonly Companion[] },
  signal: AbortSignal,
): Promise<void> {
  const { target, left } = found;
  if (left.every((one) => one.attachedTo === "")) return;
  if (!(await deps.groups.get(target.group).find(target.name, signal))) return;
  throw unavailable(`VM ${target.name} is still there after its delete`);
}

/** Interfaces before the addresses on them. Returns what may be better next time; throws what will not. */
async function removeAll(
  deps: AzureDeps,
  what: { readonly group: string; readonly left: readonly Companion[] },
  signal: AbortSignal,
): Promise<readonly CaaError[]> {
  const order = { nic: 0, disk: 0, publicIp: 1 };
  const problems: CaaError[] = [];
  for (const wave of [0, 1]) {
    await Promise.all(
      what.left
        .filter((one) => order[one.kind] === wave)
        .map(async (one) => {
          const problem = await removeOne(deps, { group: what.group, companion: one }, signal);
          if (problem) problems.push(problem);
        }),
    );
  }
  return problems;
}

const OPERATION_POLL_MS = 3000;

async function removeOne(
  deps: AzureDeps,
  what: { readonly group: string; readonly companion: Companion },
  signal: AbortSignal,
): Promise<CaaError | undefined> {
  const { group, companion } = what;
  const { compute, network } = deps.clients;
  const options = { abortSignal: signal };
  try {
    const operation =
      companion.kind === "nic"
        ? network.networkInterfaces.delete(group, companion.name, options)
        : companion.kind === "disk"
          ? compute.disks.delete(group, companion.name, options)
          : network.publicIPAddresses.delete(group, companion.name, options);
    await operation.submitted();
    deps.log.info("deleted what a VM left behind", { step: "delete", name: companion.name });
    while (!operation.isDone) {
      await pause(deps.clock, OPERATION_POLL_MS, signal);
      await operation.poll(options);
    }
    return undefined;
  } catch (error) {
    const failed = translator(deps, signal)(error, `delete ${companion.kind} ${companion.name}`);
    if (failed.kind === "gone") return undefined;
    // Azure refuses a reserved or used one with 400: by the next round it may be free.
    const later =
      classifyError(failed) === "retry" ||
      failed.kind === "invalid-request" ||
      failed.kind === "already-exists";
    if (later) return failed;
    throw failed;
  }
}
