/** `'''` or `"""`: what opens and closes a TOML string of several lines. */
const LONG_QUOTE = /'''|"""/g;

/**
 * The line, from 1, where a TOML document sets `key` or opens the table `[key]`; undefined if it does not. Lines within strings of
 * several lines are passed over. For error messages: a dotted key is not found.
 */
export function lineOfKey(text: string, key: string): number | undefined {
  const name = key.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  const bare = `(?:${name}|"${name}"|'${name}')`;
  const definition = new RegExp(String.raw`^\s*(?:${bare}\s*=|\[\[?\s*${bare}\s*\])`);
  let openQuote: string | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    if (openQuote === undefined && definition.test(line)) return index + 1;
    for (const [quote] of line.matchAll(LONG_QUOTE)) {
      if (openQuote === undefined) openQuote = quote;
      else if (openQuote === quote) openQuote = undefined;
    }
  }
  return undefined;
}
