import type { VirtualMachine } from "@azure/arm-compute";
import type { NetworkManagementClient } from "@azure/arm-network";
import { unavailable } from "../../src/errors/index.ts";
import type { Clock } from "../../src/platform/index.ts";
import { pause } from "../retry/index.ts";
import { parseArmId, toCaaError } from "./arm/index.ts";

interface AddressDeps {
  readonly network: NetworkManagementClient;
  readonly clock: Clock;
  /** The caller wants the public address, and first. */
  readonly publicIp: boolean;
}

/** Reads of an interface that shows no address yet, and the time between them. */
const ADDRESS_TRIES = 8;
const ADDRESS_PAUSE_MS = 2000;

/** Ids of a VM's interfaces, the primary first. */
export function nicIds(vm: VirtualMachine): readonly string[] {
  return (vm.networkProfile?.networkInterfaces ?? [])
    .toSorted((a, b) => Number(b.primary ?? false) - Number(a.primary ?? false))
    .flatMap((nic) => (nic.id === undefined ? [] : [nic.id]));
}

/**
 * The VM's addresses now, incomplete while Azure has not given all. The one to dial comes first: the public one where it is
 * wanted, else the primary interface's own; then those of further interfaces, in order, so that the second is the tunnel's.
 */
export async function readAddresses(
  deps: AddressDeps,
  vm: VirtualMachine,
  signal: AbortSignal,
): Promise<{ readonly addresses: readonly string[]; readonly complete: boolean }> {
  const nics = await Promise.all(nicIds(vm).map((id) => readNic(deps, id, signal)));
  const [primary, ...further] = nics;
  const [dial, ...rest] = [...(primary?.open ?? []), ...(primary?.inner ?? [])];
  const others = further.flatMap((nic) => nic.inner);
  const complete = dial !== undefined && nics.every((nic) => nic.complete);
  const wanted = !deps.publicIp || (primary?.open.length ?? 0) > 0;
  return {
    addresses: [...(dial === undefined ? [] : [dial]), ...others, ...rest],
    complete: complete && wanted,
  };
}

interface NicAddresses {
  readonly open: readonly string[];
  readonly inner: readonly string[];
  readonly complete: boolean;
}

async function readNic(deps: AddressDeps, nicId: string, signal: AbortSignal): Promise<NicAddresses> {
  const nic = await found(deps, nicId, {
    signal,
    read: (group, name) => deps.network.networkInterfaces.get(group, name, { abortSignal: signal }),
  });
  const open: string[] = [];
  const inner: string[] = [];
  for (const ip of nic?.ipConfigurations ?? []) {
    if (isUsable(ip.privateIPAddress)) inner.push(ip.privateIPAddress);
    const publicId = ip.publicIPAddress?.id;
    if (!deps.publicIp || publicId === undefined) continue;
    const address = await found(deps, publicId, {
      signal,
      read: (group, name) => deps.network.publicIPAddresses.get(group, name, { abortSignal: signal }),
    });
    if (isUsable(address?.ipAddress)) open.push(address.ipAddress);
  }
  return { open, inner, complete: inner.length > 0 && inner.length === nic?.ipConfigurations?.length };
}

/** Waits a short time for the addresses. Throws `unavailable` when they do not come. */
export async function awaitAddresses(
  deps: AddressDeps,
  vm: VirtualMachine,
  signal: AbortSignal,
): Promise<readonly string[]> {
  for (let attempt = 1; ; attempt++) {
    const read = await readAddresses(deps, vm, signal);
    if (read.complete) return read.addresses;
    if (attempt >= ADDRESS_TRIES) {
      throw unavailable(
        `VM ${vm.name ?? ""} has no ${deps.publicIp ? "public " : ""}address after ${(ADDRESS_TRIES * ADDRESS_PAUSE_MS) / 1000} s: try again, or check the subnet`,
      );
    }
    await pause(deps.clock, ADDRESS_PAUSE_MS, signal);
  }
}

interface Read<T> {
  readonly read: (group: string, name: string) => Promise<T>;
  readonly signal: AbortSignal;
}

/** The resource behind an id, undefined while or once there is none. */
async function found<T>(deps: AddressDeps, id: string, how: Read<T>): Promise<T | undefined> {
  const parsed = parseArmId(id);
  if (!parsed) return undefined;
  try {
    return await how.read(parsed.resourceGroup, parsed.name);
  } catch (error) {
    const failed = toCaaError(error, {
      what: `read ${parsed.type} ${parsed.name}`,
      nowMs: deps.clock.wallMs(),
      signal: how.signal,
    });
    if (failed.kind === "gone") return undefined;
    throw failed;
  }
}

function isUsable(address: string | undefined): address is string {
  return address !== undefined && address !== "" && address !== "0.0.0.0";
}
