import { invalidRequest, isCaaError } from "../errors/index.ts";
import { parseTlsProfile, type TlsProfile } from "../tls/index.ts";

/** The TLS profile of a PutLink. Throws `invalid-request`: here it is a message that is wrong, not the configuration. */
export function parseProfile(minVersion: string, cipherSuites: readonly string[]): TlsProfile {
  try {
    return parseTlsProfile({ minVersion, cipherSuites });
  } catch (error) {
    throw isCaaError(error) ? invalidRequest(error.message, { cause: error }) : error;
  }
}
