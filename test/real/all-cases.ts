import type { Case } from "./case.ts";
import { EVERYDAY_CASES } from "./everyday-cases.ts";
import { FAULT_CASES } from "./fault-cases.ts";
import { GUEST_CASES } from "./guest-cases.ts";

/** All that is tried with the real peers, in this order. */
export const ALL_CASES: readonly Case[] = [...EVERYDAY_CASES, ...GUEST_CASES, ...FAULT_CASES];
