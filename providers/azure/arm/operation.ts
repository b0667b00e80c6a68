/** The kinds of resources that are asked for here; anything else counts as `other`, so that the set stays small. */
const KNOWN: readonly string[] = [
  "virtualMachines",
  "disks",
  "networkInterfaces",
  "publicIPAddresses",
  "virtualNetworks",
  "subnets",
  "networkSecurityGroups",
  "skus",
  "usages",
  "operations",
  "images",
  "galleries",
  "communityGalleries",
  "sharedGalleries",
  "versions",
  "resourceGroups",
];
const SPELLING: ReadonlyMap<string, string> = new Map(KNOWN.map((kind) => [kind.toLowerCase(), kind]));
const VERBS: Readonly<Record<string, string>> = {
  PUT: "put",
  PATCH: "patch",
  DELETE: "delete",
  POST: "post",
};

/**
 * What a call to Resource Manager does, without ids and names: `virtualMachines.get`. The path is a row of pairs of type and
 * name after the provider's namespace; a list ends with a type.
 */
export function operationOf(method: string, url: string): string {
  const path = new URL(url).pathname;
  const parts = path
    .replace(/^.*\/providers\/[^/]+\//i, "")
    .split("/")
    .filter((part) => part !== "");
  // Behind a location there is a row of its own: locations/REGION/usages, locations/REGION/operations/ID.
  const row = parts[0]?.toLowerCase() === "locations" ? parts.slice(2) : parts;
  const isList = row.length % 2 === 1;
  const type = row[isList ? row.length - 1 : row.length - 2] ?? "";
  const kind = SPELLING.get(type.toLowerCase()) ?? "other";
  const verb = VERBS[method] ?? (isList ? "list" : "get");
  return `${kind}.${verb}`;
}
