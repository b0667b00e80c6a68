import { alreadyExists, limitReached, wrongState } from "../errors/index.ts";
import type { SandboxRecord } from "../journal/index.ts";
import type { Secret } from "../platform/index.ts";
import type { VmVolume } from "../shim-proxy/index.ts";
import type { VmIdentity } from "../tls/index.ts";
import {
  apfJson,
  buildApfConfig,
  buildCloudConfig,
  chooseInitdata,
  encodeInitdata,
  type Initdata,
  type PodNetworkSpec,
  podVmName,
} from "../user-data/index.ts";
import type { SandboxDeps } from "./ports.ts";
import { agentSocketPath, type PodRequest } from "./request.ts";
import type { Broadcast } from "./shared-task.ts";
import { requestedPod } from "./steps.ts";
import { podVolumes } from "./volumes.ts";
import type { WarmPool } from "./warm-pool.ts";

/** What the VM and we need to know each other; without `server` the VM's image brings its own certificate. */
interface Credentials {
  readonly serverName: string;
  readonly server?: Pick<VmIdentity, "serverKeyPem" | "serverCertPem" | "clientCertPem">;
  readonly client?: Pick<VmIdentity, "caPem" | "clientCertPem" | "clientKeyPem">;
}

/** Where a CreateVM gets its slot. */
export interface Slots {
  readonly changes: Broadcast;
  readonly pool: Pick<WarmPool, "podWaits" | "kindFor">;
  /** A VM of the pool makes room: it is journaled as deleting, and is to be deleted. */
  readonly onYield: (vm: { readonly name: string; readonly vmId: string | undefined }) => void;
}

/**
 * CreateVM: takes a slot, reads the pod's network, makes keys and user data, and has the agent's socket placed. No cloud
 * is touched. Everything is in the journal before the answer. May be repeated after a crash at any point.
 * @returns the path of the agent's socket
 */
export async function createSandbox(
  deps: SandboxDeps,
  slots: Slots,
  request: PodRequest,
  signal: AbortSignal,
): Promise<string> {
  const socket = agentSocketPath(deps.config.current().podsDir, request.sandboxId);
  const initdata = chooseInitdata(request.initdata, deps.config.current().globalInitdata);
  await deps.identified?.(signal);
  const record = await reserveSlot(deps, slots, request, signal);
  if (record.phase === "stopping") {
    throw wrongState(`CreateVM: sandbox ${request.sandboxId} is being removed; the CRI makes a new one`);
  }
  if (record.phase === "creating") await prepare(deps, request, record, initdata, signal);
  const dir = `${deps.config.current().podsDir}/${request.sandboxId}`;
  deps.files.makeDir(dir);
  await deps.proxy.putSandbox(request.sandboxId, dir);
  return socket;
}

async function reserveSlot(
  deps: SandboxDeps,
  slots: Slots,
  request: PodRequest,
  signal: AbortSignal,
): Promise<SandboxRecord> {
  const { clock, config, journal } = deps;
  const { limitWaitMs } = config.current();
  let waited = limitWaitMs <= 0;
  let mayYield = true;
  const look = (): SandboxRecord | undefined => {
    const known = journal.sandbox(request.sandboxId);
    if (known !== undefined) return known;
    // Read at every look: a limit that is raised lets in who waits.
    const { limit, vxlanMinId } = config.current();
    const outcome = journal.reserve({
      id: request.sandboxId,
      podName: request.podName,
      podNamespace: request.podNamespace,
      netns: request.netns,
      requestJson: JSON.stringify(request),
      vmName: podVmName(request.podName, request.sandboxId),
      vxlanMinId,
      limit,
      poolKind: slots.pool.kindFor(request),
      mayYield,
    });
    if (outcome.outcome === "name-taken") {
      throw alreadyExists(
        `sandbox ${request.sandboxId}: a VM named ${podVmName(request.podName, request.sandboxId)} is still there for sandbox ${outcome.byId ?? "(none)"}; try again when it is gone`,
      );
    }
    if (outcome.outcome === "reserved") return journal.sandbox(request.sandboxId);
    if (outcome.yielded !== undefined) {
      mayYield = false;
      slots.onYield(outcome.yielded);
    }
    if (outcome.usage.deleting > 0 && !waited) return undefined;
    throw limitReached(limitText(limit, outcome.usage.used, outcome.usage.deleting));
  };
  const first = look();
  if (first !== undefined) return first;
  // Not by comparing times: a timer may fire a little early, and nothing would look again.
  const wake = clock.schedule(limitWaitMs, () => {
    waited = true;
    slots.changes.notify();
  });
  using _ = slots.pool.podWaits();
  try {
    return await slots.changes.until(look, signal);
  } finally {
    wake();
  }
}

function limitText(limit: number, used: number, deleting: number): string {
  const now = `this node may run ${limit} pod VMs (PEERPODS_LIMIT_PER_NODE) and has ${used}`;
  return deleting > 0
    ? `${now}, ${deleting} of them being deleted; the pod is tried again, or raise the limit`
    : `${now}; the pod is tried again when one ends, or raise the limit, or schedule the pod on another node`;
}

async function prepare(
  deps: SandboxDeps,
  request: PodRequest,
  record: SandboxRecord,
  initdata: Initdata | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { config, journal, networking } = deps;
  const [facts, credentials, { podUid, auth }] = await Promise.all([
    networking.inspect(request.netns, signal),
    makeCredentials(deps, record.vmName),
    askOthers(deps, request, signal),
  ]);
  const userData = makeUserData(deps, record, credentials, {
    network: networking.describe(facts, record.vxlanId ?? config.current().vxlanMinId),
    auth,
    initdata,
  });
  signal.throwIfAborted();
  journal.created(request.sandboxId, {
    podUid,
    networkJson: facts,
    volumesJson: JSON.stringify(volumesOf(deps, request, podUid)),
    serverName: credentials.serverName,
    caPem: credentials.client?.caPem,
    clientCertPem: credentials.client?.clientCertPem,
    clientKeyPem: credentials.client?.clientKeyPem.reveal(),
    userData,
  });
}

/** What the container runtime and the cluster know of the pod. */
async function askOthers(
  { pullSecrets, runtime }: SandboxDeps,
  request: PodRequest,
  signal: AbortSignal,
): Promise<{ readonly podUid: string | undefined; readonly auth: Secret | undefined }> {
  const podUid = request.podUid !== "" ? request.podUid : await runtime?.podUid(request.sandboxId, signal);
  return { podUid, auth: await pullSecrets?.authJson({ ...requestedPod(request), podUid }, signal) };
}

/** Without the pod's UID nothing tells whose volume is whose: none is better than another pod's. */
function volumesOf(deps: SandboxDeps, request: PodRequest, podUid: string | undefined): readonly VmVolume[] {
  const entries = deps.directVolumes();
  if (entries.length === 0) return [];
  if (podUid === undefined || podUid === "") {
    deps.log.warn(
      "the pod's UID is not known, so its direct-assigned volumes are not attached; set CRI_RUNTIME_ENDPOINT",
      {
        sandboxId: request.sandboxId,
        pod: `${request.podNamespace}/${request.podName}`,
      },
    );
    return [];
  }
  return podVolumes(entries, podUid);
}

/** Throws `too-large` when the cloud would not take it: before any VM is made. */
function makeUserData(
  deps: SandboxDeps,
  record: SandboxRecord,
  credentials: Credentials,
  content: {
    readonly network: PodNetworkSpec;
    readonly auth: Secret | undefined;
    readonly initdata: Initdata | undefined;
  },
): string {
  const { provider } = deps;
  const config = deps.config.current();
  const { server } = credentials;
  const apf = buildApfConfig({
    podName: record.podName,
    podNamespace: record.podNamespace,
    network: content.network,
    ...(server && {
      tls: {
        serverKeyPem: server.serverKeyPem.reveal(),
        serverCertPem: server.serverCertPem,
        clientCaPem: server.clientCertPem,
      },
    }),
    profile: config.tlsProfile,
  });
  return buildCloudConfig({
    apfJson: apfJson(apf),
    ...(content.auth && { authJson: content.auth.reveal() }),
    ...(content.initdata && { initdata: encodeInitdata(content.initdata.toml) }),
    scratchSpace: config.scratchSpace,
    limitBytes: provider.limits.userDataBytes,
  });
}

async function makeCredentials(deps: SandboxDeps, vmName: string): Promise<Credentials> {
  const { tls } = deps.config.current();
  switch (tls.mode) {
    case "off":
      return { serverName: vmName };
    case "files":
      // The key stays in its file: it is read again for every link.
      return { serverName: (await tls.load()).serverName };
    case "per-vm": {
      const identity = await deps.issueIdentity(vmName);
      return { serverName: identity.serverName, server: identity, client: identity };
    }
  }
}
