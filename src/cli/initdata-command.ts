import type { OptionReader, OptionSpec } from "../../providers/contract.ts";
import { CaaError, describeError, invalidInitdata, notFound } from "../errors/index.ts";
import {
  checkInitdata,
  type ExpectedValue,
  encodeInitdata,
  expectedValues,
  INITDATA_ALGORITHMS,
  type Initdata,
  type InitdataFinding,
  initdataDigest,
  PLATFORMS,
  USER_DATA_LIMITS,
} from "../user-data/index.ts";
import type { Positional } from "./help.ts";
import { gatherInitdata, readInitdata, type StandardInput } from "./initdata-input.ts";
import { oneOf } from "./option-checks.ts";

/** What the pod's annotation is called. */
const ANNOTATION = "io.katacontainers.config.hypervisor.cc_init_data";

export const INITDATA_ACTIONS = ["encode", "decode", "verify", "digest"] as const;
export type InitdataAction = (typeof INITDATA_ACTIONS)[number];

/** What a command reads and writes beside its options. */
export interface InitdataIo {
  /** The word beside the flags; "": none. */
  readonly word: string;
  readonly stdin: StandardInput;
  readonly nowMs: number;
  out(text: string): void;
  err(text: string): void;
}

export interface InitdataCommand {
  readonly options: readonly OptionSpec[];
  readonly positionals: readonly Positional[];
  /** Resolves to the exit status: 0, or 1 when the document is wrong. Throws `invalid-config` and `invalid-initdata`. */
  run(options: OptionReader, io: InitdataIo): Promise<number>;
}

const DOCUMENT: Positional = {
  name: "FILE",
  help: "initdata as TOML, or as base64 of gzip of TOML (the annotation's value); - or nothing: standard input",
  required: false,
};

const choice = (flag: string, words: readonly string[], help: string): OptionSpec => ({
  flag,
  kind: "string",
  default: words[0] ?? "",
  help,
  validate: oneOf(words),
});

const PROVIDER_OPTION: OptionSpec = {
  flag: "provider",
  kind: "string",
  help: "the document is for this provider: too long for its user data is an error; unset: a warning for each whose limit is known",
  validate: oneOf(USER_DATA_LIMITS.map((limit) => limit.provider)),
};

const file = (flag: string, help: string): OptionSpec => ({ flag, kind: "string", help });

const ENCODE: InitdataCommand = {
  positionals: [
    {
      name: "FILE|FOLDER",
      help: "a TOML document, encoded as it is; or a folder with aa.toml, cdh.toml and policy.rego; -: standard input; nothing: what the flags name",
      required: false,
    },
  ],
  options: [
    file("aa", "file for aa.toml, the attestation agent's configuration"),
    file("cdh", "file for cdh.toml, the confidential data hub's configuration"),
    file("policy", "file for policy.rego, the Kata agent's policy"),
    file("kbs-url", "address of the key broker; writes aa.toml and cdh.toml, unless they are given"),
    file("kbs-cert", "file with the key broker's certificate (PEM); goes with kbs-url"),
    {
      ...choice("algorithm", INITDATA_ALGORITHMS, "hash of a document that is put together"),
      default: "sha384",
    },
    choice(
      "output",
      ["base64", "annotation", "json", "toml"],
      "base64: the value of the annotation and of INITDATA; annotation: YAML for a pod's metadata; json: both, with the digests; toml: the document alone",
    ),
    PROVIDER_OPTION,
    { flag: "force", kind: "bool", default: "false", help: "encode it also when verify finds errors" },
  ],
  async run(options, io) {
    const initdata = await gatherInitdata(io.word, options, io.stdin);
    const findings = check(initdata, options, io).filter((finding) => finding.level !== "ok");
    for (const { level, text } of findings) io.err(`${level}: ${text}\n`);
    if (hasError(findings) && !options.bool("force")) {
      throw invalidInitdata("initdata is not encoded for what is said above; -force does it all the same");
    }
    io.out(encoded(initdata, options.string("output")));
    return 0;
  },
};

function encoded(initdata: Initdata, output: string): string {
  const value = encodeInitdata(initdata.toml);
  switch (output) {
    case "annotation":
      return `metadata:\n  annotations:\n    ${ANNOTATION}: "${value}"\n`;
    case "json":
      return json({ ...described(initdata), base64: value, annotations: { [ANNOTATION]: value } });
    case "toml":
      return initdata.toml.toString();
    default:
      return `${value}\n`;
  }
}

const DECODE: InitdataCommand = {
  positionals: [DOCUMENT],
  options: [
    file("key", "print only this key of [data], such as policy.rego"),
    choice("output", ["toml", "json"], "toml: the document, byte for byte; json: its parts"),
  ],
  async run(options, io) {
    const initdata = await readInitdata(io.word, io.stdin);
    const key = options.string("key");
    if (key !== "") {
      const content = Object.hasOwn(initdata.data, key) ? initdata.data[key] : undefined;
      if (content === undefined) {
        throw notFound(`[data] has no ${key}; it has ${Object.keys(initdata.data).join(", ") || "nothing"}`);
      }
      io.out(content);
    } else if (options.string("output") === "json") {
      io.out(json({ ...described(initdata), data: initdata.data }));
    } else {
      io.out(initdata.toml.toString());
    }
    return 0;
  },
};

const DIGEST: InitdataCommand = {
  positionals: [DOCUMENT],
  options: [
    {
      flag: "platform",
      kind: "string",
      help: `print only the value that a verifier must expect there: ${PLATFORMS.join(", ")}`,
      validate: oneOf(PLATFORMS),
    },
    choice("output", ["text", "json"], "for people, or for programs"),
  ],
  async run(options, io) {
    const initdata = await readInitdata(io.word, io.stdin);
    const platform = options.string("platform");
    const values = expectedValues(initdata);
    const only = values.find((value) => value.platform === platform);
    if (options.string("output") === "json") io.out(json(only ?? described(initdata)));
    else if (only !== undefined) io.out(`${only.value}\n`);
    else io.out(digestText(initdata, values));
    return 0;
  },
};

const digestText = (initdata: Initdata, values: readonly ExpectedValue[]): string =>
  [
    `${initdata.algorithm} ${initdataDigest(initdata)}`,
    "  of the TOML's exact bytes; the VM writes it to /run/peerpod/initdata.digest",
    ...values.flatMap(({ platform, field, value, rule, source, note }) => [
      "",
      `${platform}: ${field}`,
      `  ${value}`,
      `  rule: ${rule}`,
      ...(note === undefined ? [] : [`  note: ${note}`]),
      `  source: ${source}`,
    ]),
    "",
  ].join("\n");

const VERIFY: InitdataCommand = {
  positionals: [DOCUMENT],
  options: [
    PROVIDER_OPTION,
    {
      flag: "digest",
      kind: "string",
      help: "digest that the document must have, in hex",
      validate: (text) => (/^([0-9a-fA-F]{2})+$/.test(text) ? undefined : "expected hex digits"),
    },
    choice("output", ["text", "json"], "for people, or for programs"),
  ],
  async run(options, io) {
    const findings = await verified(options, io);
    const isValid = !hasError(findings);
    if (options.string("output") === "json") io.out(json({ valid: isValid, findings }));
    else io.out(findings.map(({ level, text }) => `${level.padEnd(7)} ${text}\n`).join(""));
    return isValid ? 0 : 1;
  },
};

async function verified(options: OptionReader, io: InitdataIo): Promise<readonly InitdataFinding[]> {
  let initdata: Initdata;
  try {
    initdata = await readInitdata(io.word, io.stdin);
  } catch (cause) {
    if (!(cause instanceof CaaError && cause.kind === "invalid-initdata")) throw cause;
    return [{ level: "error", text: describeError(cause) }];
  }
  const wanted = options.string("digest").toLowerCase();
  const digest = initdataDigest(initdata);
  const compared: readonly InitdataFinding[] =
    wanted === ""
      ? []
      : wanted === digest
        ? [{ level: "ok", text: `the digest is ${digest}` }]
        : [{ level: "error", text: `the digest is ${digest}, not ${wanted}` }];
  return [...check(initdata, options, io), ...compared];
}

function check(initdata: Initdata, options: OptionReader, io: InitdataIo): readonly InitdataFinding[] {
  const provider = options.string("provider");
  const limits = USER_DATA_LIMITS.filter((limit) => provider === "" || limit.provider === provider);
  return checkInitdata(initdata, { limits, mustFit: provider !== "", nowMs: io.nowMs });
}

const hasError = (findings: readonly InitdataFinding[]): boolean =>
  findings.some((finding) => finding.level === "error");

const described = (initdata: Initdata): Readonly<Record<string, unknown>> => ({
  algorithm: initdata.algorithm,
  version: initdata.version,
  digest: initdataDigest(initdata),
  expected: expectedValues(initdata),
});

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

export const INITDATA_COMMANDS: Readonly<Record<InitdataAction, InitdataCommand>> = {
  encode: ENCODE,
  decode: DECODE,
  verify: VERIFY,
  digest: DIGEST,
};
