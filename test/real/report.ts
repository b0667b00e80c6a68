import type { Case } from "./case.ts";
import type { ShimPeer } from "./peers.ts";

/** How one case went with one shim. */
export interface Outcome {
  readonly shim: ShimPeer["name"];
  readonly name: string;
  readonly result: "passed" | "failed";
  readonly seen: string;
  readonly seconds: number;
}

/** One line about a finished case. */
export const lineOf = ({ shim, name, result, seen, seconds }: Outcome): string =>
  `${result === "passed" ? "ok  " : "FAIL"} ${shim} shim: ${name} (${seconds.toFixed(1)} s)${seen ? `\n       ${seen}` : ""}`;

/** The table for docs/compatibility.md. */
export function table(outcomes: readonly Outcome[], versions: ReadonlyMap<string, string>): string {
  const rows = outcomes.map(({ shim, name, result, seen }) => `| ${shim} | ${name} | ${result} | ${seen} |`);
  const with_ = [...versions].map(([peer, version]) => `${peer} ${version}`).join(", ");
  return [`With ${with_}.`, "", "| shim | what | result | seen |", "|---|---|---|---|", ...rows].join("\n");
}

/** The closing line. */
export function summary(outcomes: readonly Outcome[], skipped: number): string {
  const count = (result: Outcome["result"]): number => outcomes.filter((o) => o.result === result).length;
  return `${count("passed")} passed, ${count("failed")} failed, ${skipped} skipped`;
}

/** Cases whose name holds `filter`, case ignored. */
export const chosen = (cases: readonly Case[], filter: string): readonly Case[] =>
  cases.filter(({ name }) => name.toLowerCase().includes(filter.toLowerCase()));
