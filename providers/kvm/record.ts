import * as v from "valibot";
import { describeError, internal } from "../../src/errors/index.ts";

/** What a VM was made as: `vm.json` in its folder, written once. */
export interface VmRecord {
  readonly version: 1;
  /** A UUID: also QEMU's, by which its process is found. */
  readonly id: string;
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly createdAtMs: number;
  readonly vcpus: number;
  readonly memoryMiB: number;
  /** Path on the host. */
  readonly image: string;
  readonly interfaces: number;
}

const RecordSchema: v.GenericSchema<unknown, VmRecord> = v.object({
  version: v.literal(1),
  id: v.pipe(v.string(), v.regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)),
  name: v.string(),
  tags: v.record(v.string(), v.string()),
  createdAtMs: v.number(),
  vcpus: v.pipe(v.number(), v.integer(), v.minValue(1)),
  memoryMiB: v.pipe(v.number(), v.integer(), v.minValue(1)),
  image: v.string(),
  interfaces: v.pipe(v.number(), v.integer(), v.minValue(1)),
});

/** Reads a record. Throws `internal` for what we did not write. */
export function parseRecord(text: string): VmRecord {
  try {
    return v.parse(RecordSchema, JSON.parse(text));
  } catch (cause) {
    throw internal(`a VM's record on the KVM host cannot be read: ${describeError(cause)}`, { cause });
  }
}

/** Taps of VMs begin with this; `remove.sh` is told. */
export const TAP_PREFIX = "ppk";

/** The VM's tap devices on the host. A name has at most 15 characters. */
export const tapsOf = (record: Pick<VmRecord, "id" | "interfaces">): readonly string[] =>
  Array.from({ length: record.interfaces }, (_, index) => `${TAP_PREFIX}${record.id.slice(0, 8)}-${index}`);

/** A hardware address that nobody else on the network has, because nobody else has the address. */
export const macOf = (address: string): string =>
  ["52", "54", ...address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"))].join(":");
