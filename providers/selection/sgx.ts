/**
 * Enclave page cache of Azure's SGX sizes, MiB, by size without `Standard_`. Azure's resource list does not tell it.
 * From the sizes' pages DCsv2, DCsv3 and DCdsv3; v3 is given there in GiB.
 */
const AZURE_EPC_MIB: Readonly<Record<string, number>> = {
  DC1s_v2: 28,
  DC2s_v2: 56,
  DC4s_v2: 112,
  DC8_v2: 168,
  DC1s_v3: 4096,
  DC2s_v3: 8192,
  DC4s_v3: 16_384,
  DC8s_v3: 32_768,
  DC16s_v3: 65_536,
  DC24s_v3: 131_072,
  DC32s_v3: 196_608,
  DC48s_v3: 262_144,
};

/** SGX memory of an Azure size (`Standard_DC4ds_v3`), MiB; 0 when it has none. Sizes with a local disk (`d`) have the same. */
export function azureEpcMiB(size: string): number {
  const short = size.replace(/^Standard_/i, "").replace(/^(DC\d+)ds(_v3)$/, "$1s$2");
  return AZURE_EPC_MIB[short] ?? 0;
}
