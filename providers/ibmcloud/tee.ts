import { invalidRequest } from "../../src/errors/index.ts";
import { isLinuxOne, LINUXONE_NOTE } from "./api/index.ts";
import type { IbmProfile } from "./profiles.ts";

/** The two settings of a create that make a VM confidential; what is absent is not sent. */
export interface TeeSettings {
  readonly mode?: "tdx" | "sgx" | "disabled";
  readonly secureBoot?: boolean;
}

export interface TeeWish {
  readonly confidential: boolean;
  /** The pod asks for SGX memory. */
  readonly epc: boolean;
}

/**
 * Whether a VM of this profile can be what is wished. Secure Execution profiles start nothing else, so on s390x they are
 * the confidential ones; on x86 the profile must have the mode.
 */
export function canServe(profile: IbmProfile, wish: TeeWish): boolean {
  if (profile.architecture === "s390x") return !wish.epc && (!wish.confidential || profile.secureExecution);
  // SGX memory is 0 in TDX mode, so a pod cannot have both.
  if (wish.epc) return !wish.confidential && (profile.modes?.includes("sgx") ?? false);
  return !wish.confidential || (profile.modes?.includes("tdx") ?? false);
}

/** Why `canServe` says no, and what to do. */
export function unservable(profile: IbmProfile, wish: TeeWish): Error {
  if (wish.epc) {
    return invalidRequest(
      wish.confidential
        ? `SGX memory is asked for and DISABLECVM is false: IBM's TDX VMs have none; leave it out, or set DISABLECVM=true`
        : `profile ${profile.name} has no SGX mode: choose a small bx3dc or cx3dc profile`,
    );
  }
  return invalidRequest(
    profile.architecture === "s390x"
      ? `profile ${profile.name} has no Secure Execution: choose a bz2e, cz2e or mz2e profile, or set DISABLECVM=true`
      : `profile ${profile.name} has no TDX: choose a bx3dc or cx3dc profile, or set DISABLECVM=true`,
  );
}

/** What to send. On s390x neither setting exists; on x86 only values that the profile lists. */
export function teeSettings(profile: IbmProfile, wish: TeeWish): TeeSettings {
  if (profile.architecture === "s390x") return {};
  const mode = wish.epc ? "sgx" : wish.confidential ? "tdx" : "disabled";
  const secureBoot = mode === "tdx";
  return {
    ...(profile.modes?.includes(mode) ? { mode } : {}),
    ...((profile.secureBoot?.includes(secureBoot) ?? secureBoot) ? { secureBoot } : {}),
  };
}

/** Said where IBM does not have a profile. */
export function notOffered(profile: string, where: string): string {
  const text = `IBM does not offer instance profile ${profile} ${where}`;
  return isLinuxOne(profile) ? `${text}: ${LINUXONE_NOTE}` : `${text}: check its name, or choose another`;
}
