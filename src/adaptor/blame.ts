/** Whose fault an error is: of the keys that were changed those that its text names, and all where it names none. */
export function blame(text: string, changed: readonly string[]): ReadonlyMap<string, string> {
  const named = changed.filter((key) => text.includes(key));
  return new Map((named.length > 0 ? named : changed).map((key) => [key, text]));
}
