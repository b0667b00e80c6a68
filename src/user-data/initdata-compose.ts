import type { InitdataAlgorithm } from "./initdata.ts";

/** The only version there is: confidential-containers/trustee, kbs/docs/initdata.md. */
export const INITDATA_VERSION = "0.1.0";

/** The keys of [data] that the stock pod VM image takes, in the order in which they are written. */
export const INITDATA_FILES = ["aa.toml", "cdh.toml", "policy.rego"] as const;
export type InitdataFile = (typeof INITDATA_FILES)[number];

export interface InitdataParts {
  readonly algorithm: InitdataAlgorithm;
  readonly files: Readonly<Partial<Record<InitdataFile, string>>>;
}

/** The TOML of an initdata document with these files, each exactly as given. The same parts give the same bytes, and so the same digest. */
export function composeInitdata(parts: InitdataParts): string {
  const lines = [`algorithm = "${parts.algorithm}"`, `version = "${INITDATA_VERSION}"`, "", "[data]"];
  for (const name of INITDATA_FILES) {
    const content = parts.files[name];
    if (content !== undefined) lines.push(`"${name}" = ${tomlString(content)}`);
  }
  return `${lines.join("\n")}\n`;
}

export interface KbsAddress {
  readonly url: string;
  /** The KBS's certificate (PEM), for an https URL that no public authority vouches for. */
  readonly certificatePem?: string;
}

/** Attestation agent and confidential data hub configured for one key broker. The keys are those of guest-components' own examples. */
export function kbsFiles(kbs: KbsAddress): Record<"aa.toml" | "cdh.toml", string> {
  const certificate = (key: string): readonly string[] =>
    kbs.certificatePem === undefined ? [] : [`${key} = """`, kbs.certificatePem.trim(), '"""'];
  return {
    "aa.toml": `${["[token_configs]", "[token_configs.kbs]", `url = ${JSON.stringify(kbs.url)}`, ...certificate("cert")].join("\n")}\n`,
    "cdh.toml": `${[
      'socket = "unix:///run/confidential-containers/cdh.sock"',
      "credentials = []",
      "",
      "[kbc]",
      'name = "cc_kbc"',
      `url = ${JSON.stringify(kbs.url)}`,
      ...certificate("kbs_cert"),
    ].join("\n")}\n`,
  };
}

/** What a literal TOML string of several lines carries unchanged (TOML 1.0, String): no control character but tab and line feed. */
const LITERAL = /^[\t\n\x20-\x7e\x80-\u{10ffff}]*$/u;

/** As people write it where that is possible, else with escapes. */
function tomlString(content: string): string {
  const isPlain = LITERAL.test(content) && !content.includes("'''") && !content.endsWith("'");
  // The line break after the opening quotes does not belong to the string.
  if (isPlain) return `'''\n${content}'''`;
  return JSON.stringify(content).replaceAll("\x7f", "\\u007f");
}
