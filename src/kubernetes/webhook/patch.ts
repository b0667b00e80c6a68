/** One operation of a JSON patch (RFC 6902), as an admission webhook answers it. */
export type PatchOperation =
  | { readonly op: "add" | "replace"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string };

/** A JSON pointer's next step (RFC 6901): `kata.peerpods.io/vm` is written `kata.peerpods.io~1vm`. */
export const under = (path: string, key: string): string =>
  `${path}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;

/**
 * What turns the text map at `path` into `wanted`, key by key: keys are set, those in `unwanted` removed, all others left alone. A
 * map that is not there is added whole, unless there is nothing to put in.
 */
export function patchMap(
  path: string,
  present: Readonly<Record<string, string | number>> | null | undefined,
  wanted: Readonly<Record<string, string>>,
  unwanted: readonly string[] = [],
): readonly PatchOperation[] {
  if (present === undefined || present === null) {
    return Object.keys(wanted).length === 0 ? [] : [{ op: "add", path, value: wanted }];
  }
  const operations: PatchOperation[] = [];
  for (const key of unwanted) {
    if (Object.hasOwn(present, key)) operations.push({ op: "remove", path: under(path, key) });
  }
  for (const [key, value] of Object.entries(wanted)) {
    const there = Object.hasOwn(present, key);
    if (there && present[key] === value) continue;
    operations.push({ op: there ? "replace" : "add", path: under(path, key), value });
  }
  return operations;
}
