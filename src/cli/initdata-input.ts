import { lstatSync, readdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { OptionReader } from "../../providers/contract.ts";
import { describeError, invalidConfig, invalidInitdata } from "../errors/index.ts";
import {
  composeInitdata,
  INITDATA_ALGORITHMS,
  INITDATA_FILES,
  type Initdata,
  kbsFiles,
  parseInitdata,
} from "../user-data/index.ts";

/** Far more than initdata may have; the parser says what its limit is. */
const MAX_INPUT_BYTES = 4 * 1024 * 1024;

export type StandardInput = AsyncIterable<Uint8Array>;

/** What a word names: `-` or nothing is standard input. Throws `invalid-config` when it cannot be read, `invalid-initdata` when it is wrong. */
export async function readInitdata(word: string, stdin: StandardInput): Promise<Initdata> {
  return parseInitdata(await readText(word, stdin));
}

/** The document that `initdata encode` is about: a file, a folder with files, or what flags name. */
export async function gatherInitdata(
  word: string,
  options: OptionReader,
  stdin: StandardInput,
): Promise<Initdata> {
  const given = ["aa", "cdh", "policy", "kbs-url", "kbs-cert"].filter((flag) => options.string(flag) !== "");
  const isParts = word === "" ? given.length > 0 : word !== "-" && isFolder(word);
  if (isParts) return parseInitdata(await compose(word, options, stdin));
  const [flag] = given;
  if (flag !== undefined) {
    throw invalidConfig(
      `initdata encode: ${word} is a whole document, so -${flag} has no place; give a folder, or flags alone`,
    );
  }
  return await readInitdata(word, stdin);
}

async function compose(folder: string, options: OptionReader, stdin: StandardInput): Promise<string> {
  const algorithm = INITDATA_ALGORITHMS.find((name) => name === options.string("algorithm"));
  if (algorithm === undefined)
    throw invalidConfig(`-algorithm: expected ${INITDATA_ALGORITHMS.join(" or ")}`);
  const files = {
    ...(await filesOfKbs(options, stdin)),
    ...(folder === "" ? {} : await filesOfFolder(folder, stdin)),
    ...(await filesOfFlags(options, stdin)),
  };
  if (Object.keys(files).length === 0) {
    throw invalidConfig(`initdata encode: ${folder} has none of ${INITDATA_FILES.join(", ")}`);
  }
  return composeInitdata({ algorithm, files });
}

async function filesOfKbs(options: OptionReader, stdin: StandardInput): Promise<Record<string, string>> {
  const url = options.string("kbs-url");
  const certificate = options.string("kbs-cert");
  if (url === "" && certificate === "") return {};
  if (url === "") throw invalidConfig("-kbs-cert goes with -kbs-url");
  if (certificate === "") return kbsFiles({ url });
  return kbsFiles({ url, certificatePem: await readText(certificate, stdin) });
}

async function filesOfFolder(folder: string, stdin: StandardInput): Promise<Record<string, string>> {
  const names = readdirSync(folder).filter((name) => !name.startsWith("."));
  const known: readonly string[] = INITDATA_FILES;
  const strange = names.filter((name) => !known.includes(name));
  if (strange.length > 0) {
    throw invalidConfig(
      `initdata encode: ${folder} has ${strange.join(", ")}, which the stock pod VM image would skip; it takes ${known.join(", ")}. Certificates belong into aa.toml and cdh.toml: -kbs-url and -kbs-cert write both`,
    );
  }
  return await readAll(
    names.map((name) => [name, join(folder, name)]),
    stdin,
  );
}

const FLAG_FILES = [
  ["aa", "aa.toml"],
  ["cdh", "cdh.toml"],
  ["policy", "policy.rego"],
] as const;

async function filesOfFlags(options: OptionReader, stdin: StandardInput): Promise<Record<string, string>> {
  const given = FLAG_FILES.map(([flag, name]) => [name, options.string(flag)] as const);
  return await readAll(
    given.filter(([, path]) => path !== ""),
    stdin,
  );
}

async function readAll(
  entries: readonly (readonly [string, string])[],
  stdin: StandardInput,
): Promise<Record<string, string>> {
  const texts = await Promise.all(
    entries.map(async ([name, path]) => [name, await readText(path, stdin)] as const),
  );
  return Object.fromEntries(texts);
}

function isFolder(path: string): boolean {
  try {
    return lstatSync(path).isDirectory();
  } catch {
    // Whoever reads it says why it cannot be.
    return false;
  }
}

async function readText(word: string, stdin: StandardInput): Promise<string> {
  const bytes =
    word === "" || word === "-" ? await collect(stdin, "standard input") : await readFileBytes(word);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    // Read as if it were, it would be another document with another digest.
    throw invalidInitdata(`${word === "" ? "-" : word} is not UTF-8 text`, { cause });
  }
}

async function readFileBytes(path: string): Promise<Buffer> {
  try {
    await using file = await open(path, "r");
    return await collect(file.createReadStream({ autoClose: false }), path);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause) {
      throw invalidConfig(`${path} cannot be read: ${describeError(cause)}`, { cause });
    }
    throw cause;
  }
}

async function collect(stream: AsyncIterable<Uint8Array>, name: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_INPUT_BYTES) {
      throw invalidInitdata(`${name} is longer than ${MAX_INPUT_BYTES} bytes; initdata is not`);
    }
  }
  return Buffer.concat(chunks);
}
