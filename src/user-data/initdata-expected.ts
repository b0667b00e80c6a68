import { createHash } from "node:crypto";
import { type Initdata, initdataDigest } from "./initdata.ts";

/** How platforms are named on the command line and in JSON. */
export const PLATFORMS = ["vtpm", "tdx", "snp", "se"] as const;
export type Platform = (typeof PLATFORMS)[number];

/** What a verifier must find in a pod VM's evidence for one initdata document. */
export interface ExpectedValue {
  readonly platform: Platform;
  /** Where in the evidence. */
  readonly field: string;
  /** Lower-case hex. */
  readonly value: string;
  /** How the value comes from the digest. */
  readonly rule: string;
  /** Public text or code that says so: `repository: path` or `repository: issue`. */
  readonly source: string;
  /** What is uncertain, or keeps the value from being there; absent: nothing known. */
  readonly note?: string;
}

/** The sha256 bank of a TPM holds digests of this size. */
const PCR_BYTES = 32;
const TDX_MRCONFIGID_BYTES = 48;
const SNP_HOSTDATA_BYTES = 32;

const VMM_ONLY =
  "the hypervisor sets this field when it starts the VM; no cloud of this build lets its customers set it, so there it is zeros and the PCR is what to verify. Where somebody sets it (Kata on bare metal), this is the value";

/** The values, one per platform, in the order of PLATFORMS. docs/initdata.md explains them. */
export function expectedValues(initdata: Pick<Initdata, "toml" | "algorithm">): readonly ExpectedValue[] {
  const hex = initdataDigest(initdata);
  const digest = Buffer.from(hex, "hex");
  return [
    {
      platform: "vtpm",
      field: "PCR 8, sha256 bank",
      value: extendedFromZero(sized(digest, PCR_BYTES)).toString("hex"),
      rule: "sha256(32 zero bytes + the first 32 bytes of the digest)",
      source:
        "confidential-containers/cloud-api-adaptor: pull request 2186 (the image extends with the first 64 hex digits of initdata.digest); confidential-containers/trustee: pull request 532, deps/verifier/src/az_snp_vtpm/mod.rs (verify_init_data)",
      note: "if nothing else extends PCR 8: GRUB does, so the image must boot without it (a unified kernel image). The image ignores a failed extend; the PCR is then zeros",
    },
    {
      platform: "tdx",
      field: "MRCONFIGID",
      value: sized(digest, TDX_MRCONFIGID_BYTES).toString("hex"),
      rule: "the digest, cut or padded with zeros at the end to 48 bytes",
      source:
        "confidential-containers/trustee: kbs/docs/initdata.md and deps/verifier/src/lib.rs (regularize_data); kata-containers: src/libs/kata-types/src/initdata.rs (adjust_digest)",
      note: `${VMM_ONLY} (cloud-api-adaptor: issue 2604)`,
    },
    {
      platform: "snp",
      field: "HOSTDATA",
      value: sized(digest, SNP_HOSTDATA_BYTES).toString("hex"),
      rule: "the digest, cut or padded with zeros at the end to 32 bytes",
      source:
        "confidential-containers/trustee: kbs/docs/initdata.md and deps/verifier/src/lib.rs (regularize_data); kata-containers: src/libs/kata-types/src/initdata.rs (adjust_digest)",
      note: `${VMM_ONLY} (cloud-api-adaptor: issue 1580)`,
    },
    {
      platform: "se",
      field: "user data of the attestation (se.user_data)",
      value: hex,
      rule: "the digest's hex text, as it stands in /run/peerpod/initdata.digest",
      source:
        "confidential-containers/cloud-api-adaptor: src/cloud-api-adaptor/docs/initdata.md; confidential-containers/guest-components: attestation-agent/attester/src/se/mod.rs of 2024 and 2025",
      note: "only with an attestation agent from before guest-components pull request 1417 (April 2026): since then the user data holds the digest of the runtime data, and initdata is not bound to the evidence at all. Neither way is it protected by hardware: the agent reads a file (guest-components: issue 1418)",
    },
  ];
}

/** Cut, or padded with zeros, at the end. */
function sized(digest: Buffer, bytes: number): Buffer {
  const out = Buffer.alloc(bytes);
  digest.copy(out);
  return out;
}

/** What a PCR of the sha256 bank holds after one extend since the reset to zeros (TPM 2.0 Library, part 1, PCR Extend). */
const extendedFromZero = (value: Buffer): Buffer =>
  createHash("sha256").update(Buffer.alloc(PCR_BYTES)).update(value).digest();
