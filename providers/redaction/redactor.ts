import type { Secret } from "../../src/platform/index.ts";

const MASK = "[redacted]";
/** A shorter text would be found in ordinary words. */
const MIN_SECRET_CHARS = 6;
/** Of a document, a part that is at least so long is taken out wherever it stands. */
const MIN_PART_CHARS = 40;
/** A part of that length holds a sample at a multiple of STRIDE, whatever its own place. */
const SAMPLE_CHARS = 16;
const STRIDE = MIN_PART_CHARS - SAMPLE_CHARS;

interface Document {
  readonly forms: readonly string[];
  /** Texts that are also in the document and are no secret: names of pods and VMs. */
  readonly harmless: readonly string[];
}

/** Takes out of texts what was told to a cloud in confidence, since a cloud's error may quote all that it was sent. */
export class Redactor {
  readonly #words: readonly string[];
  readonly #documents = new Set<Document>();

  /** `secrets`: passwords and keys, which are taken out whenever they stand in a text as a whole. */
  constructor(secrets: readonly Secret[]) {
    this.#words = secrets
      .map((secret) => secret.reveal())
      .filter((secret) => secret.length >= MIN_SECRET_CHARS)
      .flatMap((secret) => [...new Set([secret, encodeURIComponent(secret), inJson(secret)])]);
  }

  /** Does `work`, during which any longer part of `document` is taken out too. */
  async during<T>(document: Secret, harmless: readonly string[], work: () => Promise<T>): Promise<T> {
    const text = document.reveal();
    const one: Document = { forms: [text, inJson(text), ...base64Forms(text)], harmless };
    this.#documents.add(one);
    try {
      return await work();
    } finally {
      this.#documents.delete(one);
    }
  }

  redact(text: string): string {
    let clean = this.#words.reduce((rest, word) => rest.replaceAll(word, MASK), text);
    for (const { forms, harmless } of this.#documents)
      for (const form of forms) clean = withoutParts(clean, form, harmless);
    return clean;
  }
}

const inJson = (text: string): string => JSON.stringify(text).slice(1, -1);

/** Base64 of the text alone, and behind one or two other bytes. */
const base64Forms = (text: string): readonly string[] =>
  [0, 1, 2].map((shift) => Buffer.concat([Buffer.alloc(shift), Buffer.from(text)]).toString("base64"));

function withoutParts(text: string, form: string, harmless: readonly string[]): string {
  let clean = text;
  for (let at = 0; at + SAMPLE_CHARS <= clean.length; at += STRIDE) {
    const part = commonPart(clean, form, at);
    const seen = clean.slice(part.from, part.to);
    if (seen.length < MIN_PART_CHARS || harmless.some((name) => name.includes(seen))) continue;
    clean = `${clean.slice(0, part.from)}${MASK}${clean.slice(part.to)}`;
    at = part.from + MASK.length - STRIDE;
  }
  return clean;
}

interface Part {
  readonly from: number;
  readonly to: number;
}

/** The longest part that text and form have in common around the sample at `at`; an empty one if the form lacks the sample. */
function commonPart(text: string, form: string, at: number): Part {
  const sample = text.slice(at, at + SAMPLE_CHARS);
  let longest: Part = { from: at, to: at };
  for (let found = form.indexOf(sample); found >= 0; found = form.indexOf(sample, found + 1)) {
    let before = 0;
    while (before < at && before < found && text[at - before - 1] === form[found - before - 1]) before++;
    let after = SAMPLE_CHARS;
    while (at + after < text.length && text[at + after] === form[found + after]) after++;
    if (before + after > longest.to - longest.from) longest = { from: at - before, to: at + after };
  }
  return longest;
}
