import { type CreateOptions, OwnerTag, type Vm, type VmRequest } from "../../providers/contract.ts";
import { internal, isCaaError, unavailable } from "../errors/index.ts";
import type { SandboxRecord, VmRecord } from "../journal/index.ts";
import type { LinkTarget } from "../shim-proxy/index.ts";
import type { LifecycleStep } from "./notices.ts";
import { tellPooledVm } from "./pooled-start.ts";
import type { SandboxDeps } from "./ports.ts";
import { type PodRequest, parseJournaledRequest } from "./request.ts";
import { abortable } from "./shared-task.ts";
import { asStep, podRef } from "./steps.ts";
import { parseJournaledVolumes } from "./volumes.ts";

/** What a start tells while it runs. */
export interface StartObserver {
  /** The VM's id became known. */
  readonly onVmId: () => void;
  readonly onProgress: (text: string) => void;
  /** Aborted when this control plane ends: what is cut by that has not failed. */
  readonly shutdown: AbortSignal;
  /** A VM of the warm pool was of no use to this pod: it is journaled as deleting. */
  readonly onDiscarded: (vm: VmRecord) => void;
  /** The cloud has no room: has a VM of the warm pool deleted. False when there is none. */
  readonly makeRoom: () => Promise<boolean>;
  /** Resolves when a VM in place of a discarded one is within the limit, or no delete can bring that about any more. */
  readonly room: (signal: AbortSignal) => Promise<void>;
}

/**
 * StartVM: VM, tunnel, link, in this order, each journaled before it is done and looked up before it is repeated, so that
 * after a crash at any point calling it again goes on where the last one stopped. Does not clean up: the caller does.
 */
export async function startSandbox(
  deps: SandboxDeps,
  id: string,
  observer: StartObserver,
  signal: AbortSignal,
): Promise<void> {
  const record = await begin(deps, mustHave(deps, id), observer, signal);
  const request = parseJournaledRequest(record.requestJson);
  const step = <T>(name: LifecycleStep, work: () => Promise<T>): Promise<T> =>
    asStep(deps, { step: name, pod: podRef(record), vmName: record.vmName }, observer.shutdown, work);
  const addresses = await step("vm.create", () => bootVm(deps, record, request, observer, signal));
  await step("tunnel.set-up", () => connectNetwork(deps, record, addresses, signal));
  observer.onProgress(
    `waiting for the VM to answer on ${addresses[0]}:${deps.config.current().forwarderPort}`,
  );
  await step("link", async () => deps.proxy.putLink(await linkTarget(deps, record, addresses), signal));
  signal.throwIfAborted();
  deps.journal.running(id);
}

/** Journals the start. Returns the record anew: it may have another VM than before. */
async function begin(
  deps: SandboxDeps,
  record: SandboxRecord,
  observer: StartObserver,
  signal: AbortSignal,
): Promise<SandboxRecord> {
  const intend = ({ id, vmName }: SandboxRecord): void =>
    deps.journal.beginStart(id, {
      name: vmName,
      provider: deps.provider.name,
      tags: ownerTags(deps, record),
    });
  // Killed while it waited for room; see below.
  if (record.phase === "starting" && deps.journal.vmOf(record.id) === undefined) await observer.room(signal);
  // CreateVM has waited for it already, but the next process may know less than that one did.
  await deps.identified?.(signal);
  intend(record);
  const vm = deps.journal.vmOf(record.id);
  if (vm?.userDataDue !== true) return record;
  const replaced = await tellPooledVm(deps, record, vm, signal);
  if (replaced === undefined) return record;
  observer.onDiscarded(replaced.discarded);
  observer.onProgress(
    `waiting until VM ${replaced.discarded.name}, which the pod cannot use, has given up its slot`,
  );
  await observer.room(signal);
  const now = mustHave(deps, record.id);
  intend(now);
  return now;
}

function mustHave(deps: SandboxDeps, id: string): SandboxRecord {
  const record = deps.journal.sandbox(id);
  if (record === undefined) throw internal(`sandbox ${id} left the journal while it was started`);
  return record;
}

function ownerTags(deps: SandboxDeps, record: SandboxRecord): Record<string, string> {
  return {
    [OwnerTag.Cluster]: deps.config.current().owner.clusterId,
    [OwnerTag.Node]: deps.config.current().owner.nodeName,
    [OwnerTag.Sandbox]: record.id,
    [OwnerTag.Namespace]: record.podNamespace,
    [OwnerTag.Pod]: record.podName,
  };
}

async function bootVm(
  deps: SandboxDeps,
  record: SandboxRecord,
  request: PodRequest,
  observer: StartObserver,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { journal, provider } = deps;
  const known: VmRecord | undefined = journal.vmOf(record.id);
  if (known?.phase === "running" && known.addresses.length > 0) return known.addresses;
  if (record.userData === undefined) throw internal(`sandbox ${record.id} has no user data in the journal`);
  const vmRequest: VmRequest = {
    name: record.vmName,
    tags: known?.tags ?? ownerTags(deps, record),
    userData: record.userData,
    size: request.size,
    image: request.image,
    dedicatedTunnelInterface: deps.networking.dedicated(record.networkJson ?? ""),
    externalNetworkInterface: deps.config.current().externalNetworkViaPodVm,
    volumes: parseJournaledVolumes(record.volumesJson).filter((volume) => volume.diskId !== ""),
  };
  const options: CreateOptions = {
    signal,
    onId: (vmId) => {
      journal.vmIdKnown(record.vmName, vmId);
      observer.onVmId();
    },
    onProgress: observer.onProgress,
  };
  const vm = await createWithRoom(() => provider.create(vmRequest, options), observer, signal);
  if (vm.addresses.length === 0) {
    throw unavailable(
      `${provider.name} made VM ${vm.name} without an address; see the provider's console for it`,
    );
  }
  journal.vmIdKnown(record.vmName, vm.id);
  observer.onVmId();
  journal.vmRunning(record.vmName, vm.addresses);
  return vm.addresses;
}

/**
 * A VM of the warm pool yields when the cloud has no room for a pod's. One for each start: where that does not help, what is
 * short is of another kind, and the pool would be emptied for nothing.
 */
async function createWithRoom(
  create: () => Promise<Vm>,
  observer: StartObserver,
  signal: AbortSignal,
): Promise<Vm> {
  try {
    return await create();
  } catch (error) {
    if (!isCaaError(error, "quota", "capacity") || signal.aborted) throw error;
    if (!(await abortable(observer.makeRoom(), signal))) throw error;
    return await create();
  }
}

async function connectNetwork(
  deps: SandboxDeps,
  record: SandboxRecord,
  addresses: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  if (record.networkJson === undefined || record.vxlanId === undefined) {
    throw internal(`sandbox ${record.id} has no network in the journal`);
  }
  const plan = deps.networking.plan({
    facts: record.networkJson,
    netns: record.netns,
    vxlanId: record.vxlanId,
    vmAddresses: addresses,
  });
  signal.throwIfAborted();
  deps.journal.tunnelIntended(record.id, plan);
  await deps.networking.setUp(plan, signal);
}

/** What the shim-proxy must know to reach the VM of a sandbox. */
export async function linkTarget(
  deps: SandboxDeps,
  record: SandboxRecord,
  addresses: readonly string[],
): Promise<LinkTarget> {
  const config = deps.config.current();
  const [address] = addresses;
  if (address === undefined) throw internal(`sandbox ${record.id} has no VM address in the journal`);
  const base = {
    id: record.id,
    address,
    port: config.forwarderPort,
    timeoutMs: config.proxyTimeoutMs,
    volumes: parseJournaledVolumes(record.volumesJson),
  };
  if (config.tls.mode === "off") return base;
  const profile = { profile: config.tlsProfile, skipVerify: config.tlsSkipVerify };
  if (record.caPem !== undefined && record.clientCertPem !== undefined && record.clientKeyPem !== undefined) {
    return {
      ...base,
      tls: {
        ...profile,
        serverName: record.serverName ?? record.vmName,
        caPem: record.caPem,
        clientCertPem: record.clientCertPem,
        clientKeyPem: record.clientKeyPem,
      },
    };
  }
  if (config.tls.mode === "files") return { ...base, tls: { ...profile, ...(await config.tls.load()) } };
  throw internal(`sandbox ${record.id} has no keys in the journal`);
}
