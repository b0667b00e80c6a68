import { OwnerTag, type VmRequest } from "../contract.ts";

/** Most characters of a user tag. */
const MAX_TAG = 128;
/** The tag that says which VM a boot volume was made for. */
export const VM_TAG = "peerpods-vm";
/** The tag that the Go adaptor gives its VMs, with the cluster's id. */
const GO_TAG = "coco-pod-vm";

/** What of a value is left in a tag: IBM compares without regard to case and takes letters, digits and `_ - . :`. */
function tagValue(key: string, value: string): string {
  return value
    .toLowerCase()
    .replaceAll(/[^a-z0-9_.-]/g, "-")
    .slice(0, MAX_TAG - key.length - 1);
}

/** `key:value` as IBM has it. */
export function tagOf(key: string, value: string): string {
  return `${key}:${tagValue(key, value)}`;
}

/** All user tags of a VM and its boot volume. The user's never override the owner's. */
export function tagsOf(
  plan: { readonly userTags: readonly string[]; readonly clusterId: string },
  request: Pick<VmRequest, "name" | "tags">,
): readonly string[] {
  const owned = Object.entries({ [VM_TAG]: request.name, ...request.tags }).map(([key, value]) =>
    tagOf(key, value),
  );
  const keys = [...Object.keys(request.tags), ...Object.values(OwnerTag), VM_TAG, GO_TAG].map((key) =>
    `${key}:`.toLowerCase(),
  );
  const users = plan.userTags.filter((tag) => !keys.some((key) => tag.toLowerCase().startsWith(key)));
  const go = plan.clusterId === "" ? [] : [tagOf(GO_TAG, plan.clusterId)];
  return [...new Set([...go, ...users, ...owned])];
}

/** Tags as keys and values; one without a colon is a key with an empty value. */
export function readTags(tags: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    tags.map((tag) => {
      const at = tag.indexOf(":");
      return at < 0 ? [tag, ""] : [tag.slice(0, at), tag.slice(at + 1)];
    }),
  );
}

/** Whether tags that were read have this value under this key, in IBM's spelling of it. */
export function hasTag(tags: Readonly<Record<string, string>>, key: string, value: string): boolean {
  return tags[key]?.toLowerCase() === tagValue(key, value);
}
