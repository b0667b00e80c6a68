import { ADMIN_CASES } from "./admin-cases.ts";
import type { Case } from "./case.ts";
import { CLOUD_CASES } from "./cloud-cases.ts";
import { CONFIG_CASES } from "./config-cases.ts";
import { CONTROL_PLANE_CASES } from "./control-plane-cases.ts";
import { DAMAGE_CASES } from "./damage-cases.ts";
import { LIMIT_CASES } from "./limit-cases.ts";
import { LINK_CASES } from "./link-cases.ts";
import { OBSERVE_CASES } from "./observe-cases.ts";
import { POOL_CASES } from "./pool-cases.ts";
import { SECRET_CASES } from "./secret-cases.ts";
import { SHUTDOWN_CASES } from "./shutdown-cases.ts";

const GROUPS: Readonly<Record<string, readonly Case[]>> = {
  "control-plane": CONTROL_PLANE_CASES,
  shutdown: SHUTDOWN_CASES,
  limits: LIMIT_CASES,
  links: LINK_CASES,
  cloud: CLOUD_CASES,
  damage: DAMAGE_CASES,
  admin: [...ADMIN_CASES, ...CONFIG_CASES],
  pool: POOL_CASES,
  observe: OBSERVE_CASES,
  secrets: SECRET_CASES,
};

/** The cases of a group. Throws for an unknown one. */
export function groupOf(name: string): readonly Case[] {
  const cases = GROUPS[name];
  if (cases === undefined)
    throw new Error(`group ${name} is not known; give ${Object.keys(GROUPS).join(", ")}`);
  return cases;
}
