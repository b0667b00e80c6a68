import { isMap, isNode, isScalar, parseDocument, type YAMLMap } from "yaml";

interface Row {
  readonly key: string;
  /** "" for a group of keys. */
  readonly value: string;
  readonly text: string;
}

/** The comment above a key. The first key's is that of its map, as the parser sees it. */
function commentOf(map: YAMLMap, index: number): string {
  const key = map.items[index]?.key;
  const own = isScalar(key) ? key.commentBefore : undefined;
  const comment = own ?? (index === 0 ? map.commentBefore : undefined) ?? "";
  // Above an empty line are words about the file.
  return (comment.split("\n\n").at(-1) ?? "").replaceAll(/\s*\n\s*/g, " ").trim();
}

function rowsOf(map: YAMLMap, prefix: string): readonly Row[] {
  return map.items.flatMap((pair, index): readonly Row[] => {
    const name = isScalar(pair.key) ? String(pair.key.value) : "";
    const key = prefix === "" ? name : `${prefix}.${name}`;
    const text = commentOf(map, index);
    const { value } = pair;
    if (isMap(value) && value.items.length > 0 && !value.flow) {
      const group = text === "" ? [] : [{ key, value: "", text }];
      return [...group, ...rowsOf(value, key)];
    }
    const plain: unknown = isNode(value) ? value.toJSON() : value;
    return [{ key, value: JSON.stringify(plain), text }];
  });
}

const cell = (text: string): string => text.replaceAll("|", "\\|");

/** The table of a values file: every key with its default and the comment above it. */
export function valuesTable(yaml: string): string {
  const { contents } = parseDocument(yaml);
  if (!isMap(contents)) throw new Error("values.yaml is not a map");
  const lines = rowsOf(contents, "").map(
    ({ key, value, text }) => `| \`${key}\` | ${value === "" ? "" : `\`${cell(value)}\``} | ${cell(text)} |`,
  );
  return ["| Key | Default | |", "|---|---|---|", ...lines].join("\n");
}
