import type { OptionSpec } from "../contract.ts";

/** Which sizes pod VMs may have. In a file of its own: the webhook reads them too, without loading Azure's SDK. */
export const AZURE_SIZE_OPTIONS: readonly OptionSpec[] = [
  {
    flag: "instance-size",
    env: "AZURE_INSTANCE_SIZE",
    kind: "string",
    default: "Standard_DC2as_v5",
    live: true,
    help: "VM size of pods that ask for nothing",
  },
  {
    flag: "instance-sizes",
    env: "AZURE_INSTANCE_SIZES",
    kind: "list",
    live: true,
    help: "VM sizes that pods may have; unset: the default size only",
  },
];
