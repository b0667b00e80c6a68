/** A fenced block of `name -> a b c` lines, under this info string. */
export function readRules(document: string, block: string): ReadonlyMap<string, readonly string[]> {
  const body = new RegExp(`^\`\`\`${block}\\n([\\s\\S]*?)^\`\`\``, "m").exec(document)?.[1];
  if (body === undefined) throw new Error(`ARCHITECTURE.md has no block \`\`\`${block}`);
  const rules = new Map<string, readonly string[]>();
  for (const line of body.split("\n").filter((text) => text.trim() !== "")) {
    const [, name, rest] = /^(\S+)\s*->\s*(.*?)(?:\s{2,}\S.*)?$/.exec(line) ?? [];
    if (name === undefined || rest === undefined) throw new Error(`not a rule: ${line}`);
    rules.set(
      name,
      rest.split(" ").filter((word) => word !== ""),
    );
  }
  return rules;
}

/**
 * The unit that a file belongs to: `contract` for the provider contract, `providers` for the table of providers, else the
 * longest listed folder that holds it (named without src/), else the folder's name below src/.
 */
export function unitOf(path: string, units: Iterable<string>): string {
  if (path === "providers/contract.ts") return "contract";
  if (/^providers\/[^/]+$/.test(path)) return "providers";
  const place = path.replace(/^src\//, "");
  const holders = [...units]
    .filter((unit) => place.startsWith(`${unit}/`))
    .sort((a, b) => b.length - a.length);
  return (
    holders[0] ??
    place
      .split("/")
      .slice(0, place === path ? 2 : 1)
      .join("/")
  );
}
