import { X509Certificate } from "node:crypto";
import { parse, TomlError } from "smol-toml";
import { describeError } from "../errors/index.ts";
import { encodeInitdata, type Initdata } from "./initdata.ts";
import { INITDATA_FILES, INITDATA_VERSION } from "./initdata-compose.ts";
import { positionOfKey } from "./toml-lines.ts";

/** One thing that was looked at. */
export interface InitdataFinding {
  readonly level: "ok" | "warning" | "error";
  readonly text: string;
}

export interface UserDataLimit {
  /** As in CLOUD_PROVIDER. */
  readonly provider: string;
  /** Most bytes of the whole cloud-config document. */
  readonly bytes: number;
  readonly source: string;
}

/** Clouds that bound user data. The ones of this build are held to their providers by a test. */
export const USER_DATA_LIMITS: readonly UserDataLimit[] = [
  { provider: "aws", bytes: 16_384, source: "EC2 user guide: 16 KB, raw" },
  { provider: "azure", bytes: 49_152, source: "64 KiB after base64, in which Azure takes it" },
  { provider: "ibmcloud", bytes: 65_536, source: "VPC API: 64 KiB" },
];

/**
 * What a pod VM's cloud-config holds beside initdata: apf.json with keys and certificates, about 2.9 KB in the recorded one
 * (test/fixtures/user-data/cloud-config.yaml), more with many routes and neighbours. Pull secrets come on top.
 */
const REST_BYTES = 4_096;
/** Pull secrets of one or two registries fit in this; less room is worth a warning. */
const ROOM_FOR_PULL_SECRETS_BYTES = 4_096;

/** All annotations of an object together, names included (Kubernetes: apimachinery validation, TotalAnnotationSizeLimitB). */
const MAX_ANNOTATION_BYTES = 256 * 1024;

export interface CheckOptions {
  readonly limits: readonly UserDataLimit[];
  /** The document is for each of these clouds: too long is an error, else a warning. */
  readonly mustFit: boolean;
  /** Milliseconds since the epoch, for certificates. */
  readonly nowMs: number;
}

/**
 * Looks at a document that parses: will every shim and the stock image take it, do its files make sense, does it fit? Initdata is
 * not secret (the cloud and whoever can read the pod see it), so a private key in it is an error.
 */
export function checkInitdata(initdata: Initdata, options: CheckOptions): readonly InitdataFinding[] {
  return [
    ...checkVersion(initdata),
    ...checkKeys(initdata),
    ...checkTomlFile(initdata, "aa.toml"),
    ...checkTomlFile(initdata, "cdh.toml"),
    ...checkPolicy(initdata),
    ...checkPem(initdata, options.nowMs),
    ...checkSize(initdata, options),
  ];
}

const ok = (text: string): InitdataFinding => ({ level: "ok", text });
const warning = (text: string): InitdataFinding => ({ level: "warning", text });
const error = (text: string): InitdataFinding => ({ level: "error", text });

/** `line 4, column 1: ` of a key of the document. */
function place(initdata: Initdata, key: string): string {
  const at = positionOfKey(initdata.toml.toString(), key);
  return at === undefined ? "" : `line ${at.line}, column ${at.column}: `;
}

function checkVersion({ version, toml, algorithm }: Initdata): readonly InitdataFinding[] {
  if (version === INITDATA_VERSION) return [ok(`TOML with algorithm ${algorithm} and version ${version}`)];
  const at = positionOfKey(toml.toString(), "version");
  return [
    error(
      `${at === undefined ? "" : `line ${at.line}, column ${at.column}: `}version is ${JSON.stringify(version)}; Kata's Rust runtime takes ${JSON.stringify(INITDATA_VERSION)} only`,
    ),
  ];
}

function checkKeys(initdata: Initdata): readonly InitdataFinding[] {
  const keys = Object.keys(initdata.data);
  const known: readonly string[] = INITDATA_FILES;
  const strange = keys.filter((key) => !known.includes(key));
  const findings = strange.map((key) =>
    warning(
      `${place(initdata, key)}[data] has ${JSON.stringify(key)}, which the stock pod VM image skips; it takes ${known.join(", ")}`,
    ),
  );
  if (keys.length === 0) findings.push(warning("[data] is empty: the pod VM is configured with nothing"));
  else if (strange.length === 0) findings.push(ok(`[data] has ${keys.join(", ")}`));
  return findings;
}

/** Line and column are those of the file's own text, since that is what people edit. */
function checkTomlFile(initdata: Initdata, name: "aa.toml" | "cdh.toml"): readonly InitdataFinding[] {
  const text = initdata.data[name];
  if (text === undefined) return [];
  try {
    parse(text);
    return [ok(`${name} is TOML`)];
  } catch (cause) {
    const where =
      cause instanceof TomlError ? `line ${cause.line}, column ${cause.column} of ${name}: ` : `${name}: `;
    const [reason = ""] = describeError(cause).split("\n");
    return [
      error(`${place(initdata, name)}${where}not TOML: ${reason.replace(/^.*Invalid TOML document: /, "")}`),
    ];
  }
}

/** Kata's agent evaluates `data.agent_policy` (kata-containers: src/agent/policy). Rego itself is not parsed here. */
function checkPolicy(initdata: Initdata): readonly InitdataFinding[] {
  const text = initdata.data["policy.rego"];
  if (text === undefined) {
    return [warning("there is no policy.rego: the agent uses the one of its image, which may allow all")];
  }
  const name = /^\s*package\s+(\S+)/m.exec(text)?.[1];
  if (name === "agent_policy")
    return [ok("policy.rego is of package agent_policy (its rules are not checked)")];
  const is = name === undefined ? "names no package" : `is of package ${name}`;
  return [error(`${place(initdata, "policy.rego")}policy.rego ${is}; the agent asks agent_policy only`)];
}

const PEM = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;

function checkPem(initdata: Initdata, nowMs: number): readonly InitdataFinding[] {
  return Object.entries(initdata.data).flatMap(([name, text]) =>
    [...text.matchAll(PEM)].map((match) => {
      const line = text.slice(0, match.index).split("\n").length;
      const where = `${place(initdata, name)}line ${line} of ${name}: `;
      if (match[1]?.endsWith("PRIVATE KEY")) {
        return error(
          `${where}a private key, which everybody who sees the pod or the VM can read; take it out`,
        );
      }
      return match[1] === "CERTIFICATE"
        ? checkCertificate(where, match[0], nowMs)
        : warning(`${where}${match[1]}`);
    }),
  );
}

function checkCertificate(where: string, pem: string, nowMs: number): InitdataFinding {
  try {
    const certificate = new X509Certificate(pem);
    const until = Date.parse(certificate.validTo);
    const subject = certificate.subject.replaceAll("\n", ", ");
    if (until < nowMs) return error(`${where}the certificate of ${subject} ended on ${certificate.validTo}`);
    if (Date.parse(certificate.validFrom) > nowMs) {
      return warning(`${where}the certificate of ${subject} begins on ${certificate.validFrom}`);
    }
    return ok(`${where}certificate of ${subject}, valid until ${certificate.validTo}`);
  } catch (cause) {
    return error(`${where}not a certificate: ${describeError(cause)}`);
  }
}

function checkSize(initdata: Initdata, options: CheckOptions): readonly InitdataFinding[] {
  const bytes = encodeInitdata(initdata.toml).length;
  const findings = options.limits.map((limit) => sizeFinding(bytes, limit, options.mustFit));
  if (bytes >= MAX_ANNOTATION_BYTES) {
    findings.push(
      error(
        `as an annotation it has ${bytes} bytes; all annotations of a pod together may have ${MAX_ANNOTATION_BYTES}`,
      ),
    );
  }
  return findings;
}

function sizeFinding(bytes: number, limit: UserDataLimit, mustFit: boolean): InitdataFinding {
  const room = limit.bytes - REST_BYTES - bytes;
  const about = `${limit.provider}: ${bytes} bytes encoded, in user data of at most ${limit.bytes} (${limit.source})`;
  if (room < 0) {
    const text = `${about}: too long by about ${-room}, since keys and network take up to ${REST_BYTES}`;
    return mustFit ? error(text) : warning(text);
  }
  const left = `${about}: leaves about ${room} for image pull secrets`;
  return room < ROOM_FOR_PULL_SECRETS_BYTES ? warning(left) : ok(left);
}
