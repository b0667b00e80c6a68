/** Types of resources, as they stand in paths; anything else counts as `other`, so that the set stays small. */
const KINDS: ReadonlySet<string> = new Set([
  "instances",
  "volumes",
  "virtual_network_interfaces",
  "images",
  "subnets",
  "security_groups",
  "keys",
  "dedicated_hosts",
  "dedicated_host_groups",
  "instance_profiles",
  "tags",
  "cluster",
]);
/** Paths in which a type has a form of its own. */
const SPECIAL: readonly (readonly [RegExp, string])[] = [
  [/^\/instance\/profiles(?=\/|$)/, "/instance_profiles"],
  [/^\/dedicated_host\/groups(?=\/|$)/, "/dedicated_host_groups"],
  [/^\/v3\/tags\/attach$/, "/tags"],
  [/^\/v3\/tags$/, "/tags"],
  [/^\/v2\/vpc\/get\w+$/, "/cluster"],
  [/^\/network\/v2\/security-group\/get\w+$/, "/cluster"],
];
const VERBS: Readonly<Record<string, string>> = { POST: "post", DELETE: "delete" };

/** What a call does, without ids and names: `instances.get`, `instances.list`, `tags.post`. */
export function operationOf(method: string, path: string): string {
  const plain = SPECIAL.reduce((text, [pattern, name]) => text.replace(pattern, name), path);
  const [kind = "", name = ""] = plain.split("/").slice(1);
  const verb = VERBS[method] ?? (name === "" ? "list" : "get");
  return `${KINDS.has(kind) ? kind : "other"}.${verb}`;
}
