import type { OptionSpec } from "../contract.ts";

/** Which profiles pod VMs may have. In a file of its own: the webhook reads them too, without loading IBM's SDK. */
export const IBMCLOUD_PROFILE_OPTIONS: readonly OptionSpec[] = [
  {
    flag: "profile-name",
    env: "IBMCLOUD_PODVM_INSTANCE_PROFILE_NAME",
    kind: "string",
    live: true,
    help: "instance profile of pods that ask for nothing, for example bx2-2x8; unset: the first of profile-list",
    validate: (value) => (/^\S*$/.test(value) ? undefined : "give an id, without spaces"),
  },
  {
    flag: "profile-list",
    env: "IBMCLOUD_PODVM_INSTANCE_PROFILE_LIST",
    kind: "list",
    live: true,
    help: "instance profiles that pods may have; unset: the default only",
  },
];
