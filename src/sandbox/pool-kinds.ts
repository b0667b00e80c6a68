import type { VmSize } from "../../providers/contract.ts";
import { invalidConfig } from "../errors/index.ts";
import type { PodRequest } from "./request.ts";

/** How many VMs of one kind wait ahead of their pods. */
export interface PoolEntry {
  /** `default`, a machine type, or `<vCPUs>x<MiB>`; then `@image` unless it is the provider's own. */
  readonly kind: string;
  readonly count: number;
}

const MAX_POOL = 1000;
const SIZED = /^(\d{1,6})x(\d{1,9})$/;
const FORM =
  "give N, or KIND=N with KIND as default, a machine type or <vCPUs>x<MiB>, and @IMAGE behind it if not the default";

/** Reads POD_VM_POOL's items: `2`, `default=2`, `Standard_DC4as_v5=1`, `2x4096@image=1`. Throws `invalid-config`. */
export function parsePool(items: readonly string[]): readonly PoolEntry[] {
  const entries = items.map((item): PoolEntry => {
    const at = item.lastIndexOf("=");
    const kind = at < 0 ? "default" : item.slice(0, at).trim();
    const count = item.slice(at + 1).trim();
    if (kind === "" || kind.startsWith("@") || !/^\d+$/.test(count) || Number(count) > MAX_POOL)
      throw invalidConfig(`POD_VM_POOL: ${JSON.stringify(item)} is not understood; ${FORM}`);
    return { kind, count: Number(count) };
  });
  const twice = entries.find(({ kind }, n) => entries.findIndex((other) => other.kind === kind) !== n);
  if (twice !== undefined) throw invalidConfig(`POD_VM_POOL: ${twice.kind} is given twice`);
  return entries;
}

/** The kind of VM that suits this pod; undefined for what no pool has. */
export function poolKind({ size, image }: Pick<PodRequest, "size" | "image">): string | undefined {
  if (size.gpus > 0 || (size.epcMiB ?? 0) > 0) return undefined;
  const base =
    size.machineType !== ""
      ? size.machineType
      : size.vcpus > 0 || size.memoryMiB > 0
        ? `${size.vcpus}x${size.memoryMiB}`
        : "default";
  return image === "" ? base : `${base}@${image}`;
}

/** What a VM of that kind is asked of the provider as. */
export function sizeOfKind(kind: string): { readonly size: VmSize; readonly image: string } {
  const at = kind.indexOf("@");
  const base = at < 0 ? kind : kind.slice(0, at);
  const image = at < 0 ? "" : kind.slice(at + 1);
  const [, vcpus, memoryMiB] = SIZED.exec(base) ?? [];
  const none = { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 };
  if (vcpus !== undefined && memoryMiB !== undefined)
    return { size: { ...none, vcpus: Number(vcpus), memoryMiB: Number(memoryMiB) }, image };
  return { size: base === "default" ? none : { ...none, machineType: base }, image };
}
