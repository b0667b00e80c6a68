/** What must not come out, by a name for messages. */
export type Marks = ReadonlyMap<string, string>;

/** Shorter pieces of a secret would be found by chance. */
const MIN_CHARS = 12;
/** Of a long document pieces of this length are looked for, so that a quoted part of it is found. */
const PIECE_CHARS = 40;

/**
 * The forms in which a secret may come out: as it is, escaped for JSON or a URL, in hex, and in base64 wherever it stands in
 * what was encoded.
 */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  // The first and last characters of its base64 depend on the neighbours.
  const base64 = [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString("base64")
      .replace(/=+$/, "");
    return text.slice(shift === 0 ? 0 : 4, text.length - 3);
  });
  const forms = [
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    bytes.toString("hex"),
    ...base64,
    ...base64.map((text) => text.replaceAll("+", "-").replaceAll("/", "_")),
  ];
  return [...new Set(forms)].filter((form) => form.length >= MIN_CHARS);
}

/** The marks that `text` shows, each with where it was found. */
export function shownMarks(text: string, marks: Marks): string[] {
  const shown: string[] = [];
  for (const [name, secret] of marks) {
    const at = formsOf(secret)
      .map((form) => text.indexOf(form))
      .find((index) => index >= 0);
    if (at !== undefined) shown.push(`${name}: ...${text.slice(Math.max(0, at - 160), at)}<HERE>`);
  }
  return shown;
}

/** The parts of a PEM key that no other key has. */
export function keyMarks(name: string, pem: string): [string, string][] {
  const body = pem.split("\n").filter((line) => line !== "" && !line.startsWith("-----"));
  return body.filter((line) => line.length >= MIN_CHARS).map((line, n) => [`${name}, line ${n + 1}`, line]);
}

/** Pieces of a long document that hold no blank at their ends; lines that say nothing of their own are left out. */
export function documentMarks(name: string, text: string): [string, string][] {
  const pieces: [string, string][] = [];
  for (let at = 0; at + PIECE_CHARS <= text.length; at += PIECE_CHARS) {
    const piece = text.slice(at, at + PIECE_CHARS).trim();
    if (piece.length >= PIECE_CHARS / 2) pieces.push([`${name}, from character ${at}`, piece]);
  }
  return pieces;
}
