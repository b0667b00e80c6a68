import type { NodeCase } from "./case.ts";
import { CAPACITY, INSTALL, REFUSED_UNINSTALL, UNINSTALL } from "./install-cases.ts";
import { PEER_POD_CASES } from "./peer-pod-cases.ts";
import { PLAIN_CASES } from "./plain-cases.ts";
import { DEVICE_PLUGIN, SCHEDULING_CASES } from "./scheduling-cases.ts";
import { UPGRADE_CASES } from "./upgrade-cases.ts";

/** All cases, in their order. */
export const ALL_CASES: readonly NodeCase[] = [
  INSTALL,
  CAPACITY,
  ...PLAIN_CASES,
  ...SCHEDULING_CASES,
  ...PEER_POD_CASES,
  ...UPGRADE_CASES,
  DEVICE_PLUGIN,
  REFUSED_UNINSTALL,
  UNINSTALL,
];
