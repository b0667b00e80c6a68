import { randomUUID } from "node:crypto";
import {
  alreadyExists,
  describeError,
  internal,
  invalidRequest,
  isCaaError,
  tooLarge,
  unavailable,
  unsupported,
} from "../../src/errors/index.ts";
import { type CreateOptions, OwnerTag, type Vm, type VmRequest } from "../contract.ts";
import { chooseAccel } from "./accel.ts";
import type { KvmDeps } from "./deps.ts";
import { onHost, readFacts, toCaaError } from "./host-errors.ts";
import { initdataOf } from "./initdata-of.ts";
import { checkFacility } from "./launch-check.ts";
import { withMonitor } from "./monitor.ts";
import { networkValues } from "./network-values.ts";
import { type Image, qemuCommand } from "./qemu-arguments.ts";
import { parseRecord, tapsOf, type VmRecord } from "./record.ts";
import { vmSize } from "./size.ts";
import { cidataOf, leasesOf } from "./user-data.ts";
import { seenVms } from "./views.ts";

/** Most bytes of user data: a volume may have any size, and a pod VM's keys and initdata are far below. */
export const USER_DATA_BYTES: number = 1024 * 1024;
/** Preparing the memory of a large or protected VM takes its time. */
const START_LIMIT_MS = 120_000;
/** Between QEMU's making its socket and its listening there. */
const LISTEN_POLL_MS = 20;
const IMAGE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** A VM that is ours on the host: made now, or found by its name. */
interface Claim {
  readonly record: VmRecord;
  readonly addresses: readonly string[];
  readonly image: Image;
  readonly arch: string;
  readonly vhost: boolean;
}

interface Context {
  readonly what: string;
  readonly signal: AbortSignal;
}

/** Makes the VM, or adopts the one of that name. Its address is known because it was chosen here. */
export async function createVm(deps: KvmDeps, request: VmRequest, options: CreateOptions): Promise<Vm> {
  const context = { what: `creating VM ${request.name}`, signal: options.signal };
  const claim = await claimName(deps, request, context);
  options.onId(claim.record.id);
  options.onProgress("starting QEMU");
  await start(deps, claim, request, context);
  const { record, addresses } = claim;
  return {
    id: record.id,
    name: record.name,
    lifecycle: "running",
    addresses,
    tags: record.tags,
    createdAtMs: record.createdAtMs,
  };
}

/** The image's path on the host. A pod may only name what is in the folder of images. */
export function imagePath(deps: Pick<KvmDeps, "config">, asked: string): string {
  const { image, imagesDir } = deps.config;
  const name = asked === "" ? image : asked;
  if (asked === "" && name.startsWith("/")) return name;
  if (!IMAGE_NAME.test(name))
    throw invalidRequest(`image ${JSON.stringify(name)} is no name of a file or folder in ${imagesDir}`);
  return `${imagesDir}/${name}`;
}

function newRecord(deps: KvmDeps, request: VmRequest): VmRecord {
  const { clock, owner, config } = deps;
  if (request.volumes.length > 0) throw unsupported("the kvm provider attaches no volumes to VMs");
  const bytes = Buffer.byteLength(request.userData.reveal());
  if (bytes > USER_DATA_BYTES)
    throw tooLarge(`user data of ${bytes} bytes is over the limit of ${USER_DATA_BYTES}`);
  const ours = { [OwnerTag.Cluster]: owner.clusterId, [OwnerTag.Node]: owner.nodeName };
  return {
    version: 1,
    id: randomUUID(),
    name: request.name,
    tags: { ...config.tags, ...request.tags, ...ours },
    createdAtMs: clock.wallMs(),
    ...vmSize(request.size, config),
    image: imagePath(deps, request.image),
    interfaces: 1 + Number(request.dedicatedTunnelInterface) + Number(request.externalNetworkInterface),
  };
}

async function claimName(deps: KvmDeps, request: VmRequest, context: Context): Promise<Claim> {
  const { config, host } = deps;
  const wanted = newRecord(deps, request);
  const record = `${JSON.stringify(wanted)}\n`;
  const { first, last, gateway } = config.network;
  const output = await onHost(
    host,
    {
      script: "claim",
      values: {
        ...{ BASE: config.dir, NAME: request.name, ID: wanted.id, IMAGE: wanted.image, QEMU: config.qemu },
        ...{ MEMORY: wanted.memoryMiB + config.overheadMiB, MAX_MEMORY: config.maxMemoryMiB },
        ...{ INTERFACES: wanted.interfaces, FIRST: first, LAST: last, GATEWAY: gateway },
        RECORD_BYTES: Buffer.byteLength(record),
      },
      input: record,
    },
    context,
  );
  const claim = readClaim(output);
  const sandbox = claim.record.tags[OwnerTag.Sandbox];
  if (sandbox !== request.tags[OwnerTag.Sandbox])
    throw alreadyExists(`${context.what}: a VM of that name belongs to sandbox ${sandbox ?? "(none)"}`);
  return claim;
}

function readClaim(output: string): Claim {
  const facts = readFacts(output);
  const record = parseRecord(facts.get("record") ?? "");
  const kind = facts.get("image");
  const path = record.image;
  const image: Image | undefined =
    kind === "kernel"
      ? { kind, path, initrd: facts.get("initrd") === "1", cmdline: facts.get("cmdline") ?? "" }
      : kind === "qcow2" || kind === "raw"
        ? { kind: "disk", path, format: kind }
        : undefined;
  const addresses = (facts.get("addresses") ?? "").split(" ").filter((address) => address !== "");
  if (image === undefined || addresses.length < record.interfaces)
    throw internal(`the KVM host's answer about VM ${record.name} lacks its image or addresses`);
  return { record, addresses, image, arch: facts.get("arch") ?? "", vhost: facts.get("vhost") === "1" };
}

async function start(deps: KvmDeps, claim: Claim, request: VmRequest, context: Context): Promise<void> {
  const { config, host } = deps;
  const { record, addresses, image, arch } = claim;
  await checkFacility(deps, context);
  const { accel } = await chooseAccel(deps, arch, context);
  if (config.launchSecurity !== undefined && accel !== "kvm")
    throw unsupported(`${context.what}: KVM_LAUNCH_SECURITY needs KVM, and it does not run on ${host.label}`);
  const { network } = config;
  const command = qemuCommand({
    ...{ record, addresses, image, arch, accel, config },
    vhost: claim.vhost && accel === "kvm",
    initdata: config.launchSecurity === undefined ? undefined : initdataOf(request.userData),
  });
  const cidata = cidataOf({ ...record, addresses }, request.userData, network);
  await onHost(
    host,
    {
      script: "start",
      values: {
        ...{ BASE: config.dir, NAME: record.name, IMAGE: image.path, TAPS: tapsOf(record).join(" ") },
        DISK_FORMAT: image.kind === "disk" ? image.format : "",
        DISK_SIZE: config.diskGiB === undefined ? "" : `${config.diskGiB}G`,
        LEASES: leasesOf(addresses),
        CIDATA_BYTES: cidata.length,
        ...networkValues(network),
      },
      args: command,
      input: cidata.toString("base64"),
    },
    context,
  );
  await confirmRunning(deps, record, context).catch((error: unknown) => {
    throw toCaaError(error, context.what, context.signal);
  });
}

/** QEMU itself says so: it may have refused a device, or wait for something. It is asked until it listens or has ended. */
async function confirmRunning(deps: KvmDeps, record: VmRecord, context: Context): Promise<void> {
  const { signal } = context;
  const deadlineMs = deps.clock.monotonicMs() + START_LIMIT_MS;
  for (;;) {
    try {
      const limitMs = Math.max(0, Math.ceil(deadlineMs - deps.clock.monotonicMs()));
      const status = await withMonitor(deps, record.name, (qmp) => qmp.status(), { signal, limitMs });
      if (status === "running") return;
      throw unavailable(`${context.what}: its QEMU is ${status}`);
    } catch (cause) {
      signal.throwIfAborted();
      const [seen] = await seenVms(deps, [record.name], context);
      const { lifecycle = "gone", detail = "" } = seen?.vm ?? {};
      if (lifecycle === "running" && deps.clock.monotonicMs() < deadlineMs && !isCaaError(cause)) {
        await deps.clock.sleep(LISTEN_POLL_MS, signal);
        continue;
      }
      const ended = lifecycle === "running" ? describeError(cause) : `the VM is ${lifecycle}: ${detail}`;
      throw unavailable(`${context.what}: QEMU did not come up: ${ended}`, { cause });
    }
  }
}
