import { internal, tooLarge } from "../errors/index.ts";

/** What the stock image's process-user-data accepts, of which we use these (Go: pkg/userdata/provision.go, pkg/paths). */
const Path = {
  Apf: "/run/peerpod/apf.json",
  Auth: "/run/peerpod/auth.json",
  Initdata: "/run/peerpod/initdata",
  ScratchSpaceMarker: "/run/peerpod/scratch-space.marker",
} as const;

/** Most bytes of auth.json (Go: cloudinit.DefaultAuthfileLimit). */
export const MAX_AUTH_JSON_BYTES = 12_288;

export interface CloudConfigInput {
  readonly apfJson: string;
  /** The pod's merged pull secrets, a JSON document. */
  readonly authJson?: string;
  /** base64(gzip(TOML)), see `encodeInitdata`. */
  readonly initdata?: string;
  /** ENABLE_SCRATCH_SPACE. */
  readonly scratchSpace: boolean;
  /** Most bytes of the document that the cloud takes; absent: no limit. */
  readonly limitBytes?: number;
}

interface File {
  readonly path: string;
  readonly content?: string;
}

/**
 * The cloud-config document of a pod VM, byte for byte as the Go adaptor writes it (src/cloud-providers/util/cloudinit). Throws
 * `too-large` with the sizes if auth.json or the whole is over its limit, `internal` for content that is not what it should be.
 */
export function buildCloudConfig(input: CloudConfigInput): string {
  const { apfJson, authJson, initdata, scratchSpace, limitBytes } = input;
  const files: File[] = [{ path: Path.Apf, content: blockSafeJson(Path.Apf, apfJson) }];
  if (authJson !== undefined) {
    const content = blockSafeJson(Path.Auth, authJson);
    const sizeBytes = Buffer.byteLength(content);
    if (sizeBytes > MAX_AUTH_JSON_BYTES) {
      throw tooLarge(
        `the pod's image pull secrets are ${sizeBytes} bytes, the pod VM takes ${MAX_AUTH_JSON_BYTES}; give the pod and its service account fewer or smaller imagePullSecrets`,
      );
    }
    files.push({ path: Path.Auth, content });
  }
  if (initdata !== undefined) files.push({ path: Path.Initdata, content: base64Text(initdata) });
  if (scratchSpace) files.push({ path: Path.ScratchSpaceMarker });
  const document = ["#cloud-config", "", "write_files:", ...files.flatMap(entry), ""].join("\n");
  if (limitBytes !== undefined) checkSize(document, files, limitBytes);
  return document;
}

const entry = ({ path, content }: File): string[] => [
  `  - path: ${path}`,
  ...(content === undefined ? [] : ["    content: |", ...content.split("\n").map((line) => `      ${line}`)]),
];

function checkSize(document: string, files: readonly File[], limitBytes: number): void {
  const sizeBytes = Buffer.byteLength(document);
  if (sizeBytes <= limitBytes) return;
  const parts = files
    .filter((file) => file.content !== undefined)
    .map((file) => `${file.path.replace(/^.*\//, "")} ${Buffer.byteLength(file.content ?? "")}`);
  throw tooLarge(
    `the pod VM's user data is ${sizeBytes} bytes, this cloud takes ${limitBytes} (${parts.join(", ")}); make the initdata or the image pull secrets smaller`,
  );
}

/**
 * What a YAML literal block carries unchanged: printable characters (YAML 1.1, 5.1) without the line breaks that are YAML's but
 * not JSON's, and no blank at the start, from which a parser would take the indentation.
 */
const BLOCK_SAFE =
  /^(?!\s)[\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\u{10000}-\u{10ffff}]+$/u;

/** JSON text that may stand in a literal block: as it is if it can, else written again in ASCII. */
function blockSafeJson(path: string, text: string): string {
  const trimmed = text.trim();
  if (BLOCK_SAFE.test(trimmed)) return trimmed;
  let value: unknown;
  try {
    value = JSON.parse(trimmed);
  } catch (cause) {
    throw internal(`${path} for the pod VM is not JSON`, { cause });
  }
  return JSON.stringify(value).replaceAll(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function base64Text(text: string): string {
  if (!/^[A-Za-z0-9+/]+=*$/.test(text)) throw internal(`${Path.Initdata} for the pod VM is not base64`);
  return text;
}
