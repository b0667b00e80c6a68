/** A resource's full id, taken apart. ARM compares ids without regard to case, and so does everything here. */
export interface ArmId {
  readonly subscriptionId: string;
  readonly resourceGroup: string;
  /** `Microsoft.Compute/disks`, as written. */
  readonly type: string;
  readonly name: string;
  /** Child types and names after the first pair: `[["subnets", "default"]]`. */
  readonly children: readonly (readonly [type: string, name: string])[];
}

/**
 * Takes `/subscriptions/<s>/resourceGroups/<g>/providers/<namespace>/<type>/<name>[/<child type>/<name>]...` apart;
 * undefined when the text is something else.
 */
export function parseArmId(text: string): ArmId | undefined {
  const match =
    /^\/subscriptions\/([^/]+)\/resourceGroups\/([^/]+)\/providers\/([^/]+)\/([^/]+)\/([^/]+)((?:\/[^/]+\/[^/]+)*)\/?$/i.exec(
      text.trim(),
    );
  if (!match) return undefined;
  const [, subscriptionId = "", resourceGroup = "", namespace = "", kind = "", name = "", rest = ""] = match;
  const words = rest.split("/").slice(1);
  const children: [string, string][] = [];
  for (let at = 0; at + 1 < words.length; at += 2) children.push([words[at] ?? "", words[at + 1] ?? ""]);
  return { subscriptionId, resourceGroup, type: `${namespace}/${kind}`, name, children };
}

/** Whether two ids or names are the same to ARM. */
export function sameArm(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && b !== undefined && a.toLowerCase() === b.toLowerCase();
}

/** A region as ARM compares it: "East US" is "eastus". */
export function normalRegion(text: string): string {
  return text.toLowerCase().replaceAll(/\s/g, "");
}
