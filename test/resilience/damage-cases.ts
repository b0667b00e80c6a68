import type { Case } from "./case.ts";

/** Journals and disks that fail. */
export const DAMAGE_CASES: readonly Case[] = [];
