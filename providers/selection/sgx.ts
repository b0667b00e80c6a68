import type { OfferedSize } from "./size.ts";

/**
 * Azure's SGX sizes by name without `Standard_`: vCPUs, memory (MiB), enclave page cache (MiB). Azure's resource list does not
 * tell the last. From the sizes' pages DCsv2, DCsv3 and DCdsv3; v3's enclave page cache is given there in GiB.
 */
const AZURE_SGX_SIZES: Readonly<Record<string, readonly [vcpus: number, memoryMiB: number, epcMiB: number]>> =
  {
    DC1s_v2: [1, 4096, 28],
    DC2s_v2: [2, 8192, 56],
    DC4s_v2: [4, 16_384, 112],
    DC8_v2: [8, 32_768, 168],
    DC1s_v3: [1, 8192, 4096],
    DC2s_v3: [2, 16_384, 8192],
    DC4s_v3: [4, 32_768, 16_384],
    DC8s_v3: [8, 65_536, 32_768],
    DC16s_v3: [16, 131_072, 65_536],
    DC24s_v3: [24, 196_608, 131_072],
    DC32s_v3: [32, 262_144, 196_608],
    DC48s_v3: [48, 393_216, 262_144],
  };

/** An Azure size with SGX memory (`Standard_DC4ds_v3`), without asking Azure; undefined: it has none. Sizes with a local disk (`d`) are the same. */
export function azureSgxSize(name: string): OfferedSize | undefined {
  const short = name.replace(/^Standard_/i, "").replace(/^(DC\d+)ds(_v3)$/, "$1s$2");
  const size = Object.hasOwn(AZURE_SGX_SIZES, short) ? AZURE_SGX_SIZES[short] : undefined;
  if (size === undefined) return undefined;
  const [vcpus, memoryMiB, epcMiB] = size;
  return { name, vcpus, memoryMiB, gpus: 0, epcMiB };
}

/** SGX memory of an Azure size, MiB; 0 when it has none. */
export const azureEpcMiB = (name: string): number => azureSgxSize(name)?.epcMiB ?? 0;
