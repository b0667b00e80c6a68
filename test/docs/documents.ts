import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const ROOT: string = join(import.meta.dirname, "../..");

/** Not ours, or made. */
const SKIPPED: ReadonlySet<string> = new Set(["node_modules", ".git", ".work", "dist"]);

/** One Markdown file of the repository. */
export interface Document {
  /** From the repository's root. */
  readonly path: string;
  readonly text: string;
  /** Its lines outside of fenced blocks. */
  readonly prose: readonly string[];
  /** Lines of shell: in `sh` blocks and in blocks that are indented by four spaces. */
  readonly shell: readonly string[];
  /** What a link may name behind `#`. */
  readonly anchors: ReadonlySet<string>;
}

/** Every Markdown file of the repository. */
export function readDocuments(): readonly Document[] {
  return readdirSync(ROOT, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".md"))
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length + 1))
    .filter((path) => !path.split("/").some((part) => SKIPPED.has(part)))
    .sort()
    .map((path) => parseDocument(path, readFileSync(join(ROOT, path), "utf8")));
}

/** The parts of a Markdown text that the tests look at. */
export function parseDocument(path: string, text: string): Document {
  const prose: string[] = [];
  const shell: string[] = [];
  let language: string | undefined;
  for (const line of text.split("\n")) {
    const fence = /^\s*```(\w*)/.exec(line);
    if (fence) language = language === undefined ? (fence[1] ?? "") : undefined;
    else if (language === undefined) {
      prose.push(line);
      if (line.startsWith("    ")) shell.push(line.trim());
    } else if (language === "sh") shell.push(line.trim());
  }
  return { path, text, prose, shell: joinContinued(shell), anchors: anchorsOf(prose) };
}

/** A line that ends in `\` goes on in the next one. */
function joinContinued(lines: readonly string[]): readonly string[] {
  return lines.join("\n").replaceAll(/\\\n/g, " ").split("\n");
}

/** What GitHub makes of headings: small letters, blanks to dashes, punctuation dropped, `-1` behind the second of a name. */
function anchorsOf(prose: readonly string[]): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const line of prose) {
    const [, title] = /^#{1,6} (.*)$/.exec(line) ?? [];
    if (title === undefined) continue;
    const slug = title
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .trim()
      .replaceAll(" ", "-");
    let name = slug;
    for (let n = 1; anchors.has(name); n += 1) name = `${slug}-${n}`;
    anchors.add(name);
  }
  return anchors;
}

/** The texts in backticks outside of fenced blocks. */
export function inlineCode(document: Document): readonly string[] {
  return document.prose
    .join("\n")
    .matchAll(/`([^`\n]+)`/g)
    .map(([, code = ""]) => code.trim())
    .toArray();
}
