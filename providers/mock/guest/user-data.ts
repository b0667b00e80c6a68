import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { parse as parseToml } from "smol-toml";
import * as v from "valibot";
import { parseDocument } from "yaml";
import { CaaError, describeError, invalidInitdata, invalidRequest } from "../../../src/errors/index.ts";
import type { Clock, Log } from "../../../src/platform/index.ts";
import { POOL_USER_DATA } from "../../../src/user-data/index.ts";
import { inVm } from "./settings.ts";

// What the stock process-user-data does with user data: cloud-api-adaptor, pkg/userdata/provision.go and
// pkg/initdata/initdata.go. It is as strict as that one, so that what boots here boots there.

const CONFIG_DIR = "/run/peerpod";
const INITDATA_PATH = `${CONFIG_DIR}/initdata`;
const DIGEST_PATH = `${CONFIG_DIR}/initdata.digest`;

/** Paths that user data may write; any other is logged and skipped. */
const USER_DATA_PATHS: ReadonlySet<string> = new Set([
  `${CONFIG_DIR}/apf.json`,
  `${CONFIG_DIR}/auth.json`,
  `${CONFIG_DIR}/aa.toml`,
  `${CONFIG_DIR}/cdh.toml`,
  INITDATA_PATH,
  `${CONFIG_DIR}/scratch-space.marker`,
]);
/** Keys of an initdata document's [data] that become files; any other is logged and skipped. */
const INITDATA_KEYS: ReadonlySet<string> = new Set(["aa.toml", "cdh.toml", "policy.rego"]);

/** The document that stands for "no initdata"; its digest is fixed (test/fixtures/user-data/digests.json). */
const DUMMY_INITDATA = `algorithm = "sha256"\nversion = "0.1.0"\n\n[data]\n"aa.toml" = '''\n'''`;

/** Tries and pause of the stock one: it gives up after 45 s. */
const TRIES = 10;
const RETRY_MS = 5_000;
/** How often a VM of the warm pool looks whether its pod has come; the stock one does not look again. */
const POOL_LOOK_MS = 50;

/** Most bytes of a decoded initdata document; far above what any cloud's user data can carry. */
const MAX_INITDATA_BYTES = 16 * 1024 * 1024;

/** One file that the user data asks for. */
export interface UserDataFile {
  readonly path: string;
  /** Absent content is an empty file. */
  readonly content: string;
}

const CLOUD_CONFIG = v.strictObject({
  write_files: v.optional(
    v.nullable(
      v.array(
        v.strictObject({
          path: v.string(),
          content: v.optional(v.nullable(v.string())),
        }),
      ),
    ),
  ),
});

/** Reads a cloud-config. Throws `invalid-request` naming the first key that the stock image refuses: all but write_files with path and content. */
export function parseCloudConfig(document: string): readonly UserDataFile[] {
  const yaml = parseDocument(document, { uniqueKeys: true });
  const [problem] = yaml.errors;
  if (problem !== undefined)
    throw invalidRequest(`user data is not YAML: ${problem.message}`, { cause: problem });
  const parsed = v.safeParse(CLOUD_CONFIG, yaml.toJS() ?? {});
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const where = v.getDotPath(issue) ?? "the document";
    throw invalidRequest(
      `user data: ${where}: ${issue.message}; only write_files with path and content are understood`,
    );
  }
  return (parsed.output.write_files ?? []).map(({ path, content }) => ({ path, content: content ?? "" }));
}

/** A decoded initdata document. */
export interface Initdata {
  /** Lower-case hex of the document's own algorithm over its TOML. */
  readonly digest: string;
  readonly data: Readonly<Record<string, string>>;
}

const INITDATA = v.object({
  algorithm: v.picklist(["sha256", "sha384", "sha512"]),
  version: v.optional(v.string()),
  data: v.optional(v.record(v.string(), v.string()), {}),
});

/** Decodes base64(gzip(TOML)). Throws `invalid-initdata`. */
export function decodeInitdata(encoded: string): Initdata {
  let toml: Buffer;
  let parsed: unknown;
  try {
    toml = gunzipSync(Buffer.from(encoded, "base64"), { maxOutputLength: MAX_INITDATA_BYTES });
    parsed = parseToml(toml.toString());
  } catch (cause) {
    throw invalidInitdata(`initdata is not base64 of gzip of TOML: ${describeError(cause)}`, { cause });
  }
  const body = v.safeParse(INITDATA, parsed);
  if (!body.success) {
    const [issue] = body.issues;
    throw invalidInitdata(`initdata: ${v.getDotPath(issue) ?? "document"}: ${issue.message}`);
  }
  return {
    digest: createHash(body.output.algorithm).update(toml).digest("hex"),
    data: body.output.data,
  };
}

export interface UserDataDeps {
  readonly clock: Clock;
  readonly log: Log;
}

export interface UserDataRequest {
  /** Where the cloud left the user data. No such file: only initdata is handled, as on a cloud without user data. */
  readonly source: string;
  /** Put before /run/peerpod. */
  readonly root: string;
  readonly signal: AbortSignal;
}

/** Writes what the user data asks for, and the initdata's files and digest. Tries as long as the stock one; then throws the last error. */
export async function processUserData(deps: UserDataDeps, request: UserDataRequest): Promise<void> {
  const files = await retrieve(deps, request);
  for (const file of files) {
    if (USER_DATA_PATHS.has(file.path)) await writeConfig(request.root, file.path, file.content);
    else deps.log.warn("user data may not write this file", { path: file.path });
  }
  await extractInitdata(deps, request.root);
}

async function retrieve(deps: UserDataDeps, request: UserDataRequest): Promise<readonly UserDataFile[]> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return parseCloudConfig(await ownUserData(deps, request));
    } catch (error) {
      if (attempt === 1 && isAbsent(error)) {
        deps.log.warn("there is no user data", { path: request.source });
        return [];
      }
      if (attempt === TRIES) throw error;
      deps.log.warn("user data is not usable yet", { attempt, error: describeError(error) });
      await deps.clock.sleep(RETRY_MS, request.signal);
    }
  }
}

/** The user data, once it is a pod's. */
async function ownUserData(deps: UserDataDeps, request: UserDataRequest): Promise<string> {
  let document = await readFile(request.source, "utf8");
  if (document === POOL_USER_DATA) deps.log.info("this VM is of the warm pool and waits for its pod");
  while (document === POOL_USER_DATA) {
    await deps.clock.sleep(POOL_LOOK_MS, request.signal);
    document = await readFile(request.source, "utf8");
  }
  return document;
}

async function extractInitdata(deps: UserDataDeps, root: string): Promise<void> {
  let encoded: string;
  try {
    encoded = await readFile(inVm(root, INITDATA_PATH), "utf8");
  } catch (error) {
    if (!isAbsent(error)) throw error;
    encoded = gzipSync(DUMMY_INITDATA).toString("base64");
    await writeConfig(root, INITDATA_PATH, encoded);
  }
  const initdata = decodeInitdata(encoded);
  for (const [key, value] of Object.entries(initdata.data)) {
    if (INITDATA_KEYS.has(key)) await writeConfig(root, `${CONFIG_DIR}/${key}`, value);
    else deps.log.warn("initdata may not write this file", { key });
  }
  await writeConfig(root, DIGEST_PATH, initdata.digest);
}

async function writeConfig(root: string, path: string, content: string): Promise<void> {
  const file = inVm(root, path);
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o755 });
    await writeFile(file, content, { mode: 0o644 });
  } catch (cause) {
    throw new CaaError("internal", `cannot write ${file}: ${describeError(cause)}`, { cause });
  }
}

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ENOENT";
