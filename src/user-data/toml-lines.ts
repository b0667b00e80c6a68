/** `'''` or `"""`: what opens and closes a TOML string of several lines. */
const LONG_QUOTE = /'''|"""/g;

/** A place in a text; both count from 1, as editors do. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/**
 * Where a TOML document sets `key` or opens the table `[key]`; undefined if it does not. Lines within strings of several lines
 * are passed over. For error messages: a dotted key is not found.
 */
export function positionOfKey(text: string, key: string): Position | undefined {
  const name = key.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  const bare = `(?:${name}|"${name}"|'${name}')`;
  const definition = new RegExp(String.raw`^\s*(?:${bare}\s*=|\[\[?\s*${bare}\s*\])`);
  let openQuote: string | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    if (openQuote === undefined && definition.test(line)) {
      return { line: index + 1, column: line.search(/\S/) + 1 };
    }
    for (const [quote] of line.matchAll(LONG_QUOTE)) {
      if (openQuote === undefined) openQuote = quote;
      else if (openQuote === quote) openQuote = undefined;
    }
  }
  return undefined;
}
