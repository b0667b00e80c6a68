import { CaaError, describeError, unauthorised, unavailable } from "../../../src/errors/index.ts";
import type { Clock, Secret } from "../../../src/platform/index.ts";
import { type TimedCall, timedCall } from "../../retry/index.ts";

/** How to sign in. */
export type AzureIdentity =
  | {
      readonly kind: "secret";
      readonly tenantId: string;
      readonly clientId: string;
      readonly clientSecret: Secret;
    }
  | {
      readonly kind: "workload";
      readonly tenantId: string;
      readonly clientId: string;
      readonly tokenFile: string;
    }
  | { readonly kind: "managed"; readonly clientId: string };

/** Where Azure is and who we are there. */
export interface ArmConnection {
  readonly identity: AzureIdentity;
  readonly authorityHost: string;
  /** Without a slash at the end. */
  readonly endpoint: string;
  readonly subscriptionId: string;
}

/** What @azure/core-auth calls an access token. */
export interface AccessToken {
  readonly token: string;
  readonly expiresOnTimestamp: number;
}

/** What @azure/core-auth calls a credential. */
export interface Credential {
  getToken(
    scopes: string | string[],
    options?: { readonly abortSignal?: AbortSignal },
  ): Promise<AccessToken | null>;
}

/** Longest wait for Entra. */
const SIGN_IN_TIMEOUT_MS = 60_000;
/** A token is replaced this long before it ends. */
const EARLY_MS = 5 * 60_000;

/** One token for all calls of the provider, and a way to say that Azure refused it. */
export class TokenSource {
  readonly #clock: Clock;
  readonly #scope: string;
  readonly #connect: () => Credential;
  #credential: Credential | undefined;
  #current: AccessToken | undefined;
  #pending: Promise<AccessToken> | undefined;

  constructor(clock: Clock, scope: string, connect: () => Credential) {
    this.#clock = clock;
    this.#scope = scope;
    this.#connect = connect;
  }

  /** A token with some life left. Throws `unauthorised` when Entra refuses us, `unavailable` when it does not answer. */
  async get(): Promise<string> {
    const held = this.#current;
    if (held && held.expiresOnTimestamp - EARLY_MS > this.#clock.wallMs()) return held.token;
    this.#pending ??= this.#fetch().finally(() => {
      this.#pending = undefined;
    });
    try {
      return (await this.#pending).token;
    } catch (error) {
      // A token of the last minutes is better than none while Entra does not answer.
      if (held && held.expiresOnTimestamp > this.#clock.wallMs()) return held.token;
      throw error;
    }
  }

  /** Azure answered 401 to this token: forget it, and the credential with its own cache. */
  refused(token: string): void {
    if (this.#current?.token !== token) return;
    this.#current = undefined;
    this.#credential = undefined;
  }

  async #fetch(): Promise<AccessToken> {
    this.#credential ??= this.#connect();
    try {
      const abortSignal = this.#clock.timeout(SIGN_IN_TIMEOUT_MS);
      const token = await this.#credential.getToken(this.#scope, { abortSignal });
      if (!token) throw unauthorised("Entra gave no token for Azure Resource Manager");
      this.#current = token;
      return token;
    } catch (error) {
      throw tokenError(error);
    }
  }
}

/** The credential, with every sign-in told as a call `token.get`: a secret that ended shows before any call is made with it. */
export function observedCredential(
  connect: () => Credential,
  about: Pick<TimedCall, "clock" | "onCall">,
): () => Credential {
  return () => {
    const credential = connect();
    return {
      getToken: (scopes, options) =>
        timedCall(
          { ...about, operation: "token.get", repeated: false },
          () => credential.getToken(scopes, options),
          (end) =>
            "value" in end
              ? "ok"
              : tokenError(end.error).kind === "unauthorised"
                ? "unauthorised"
                : "unavailable",
        ),
    };
  };
}

/** What MSAL and Node say when nobody answered: CredentialUnavailableError is also thrown for that. */
const UNREACHABLE =
  /endpoints_resolution_error|openid_config_error|network_error|ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|socket hang up/;

/** AuthenticationError carries Entra's answer; CredentialUnavailableError means that a file or endpoint is missing. */
function tokenError(error: unknown): CaaError {
  if (error instanceof CaaError) return error;
  const said = describeError(error);
  const code = /AADSTS\d+/.exec(said)?.[0];
  const status: unknown =
    typeof error === "object" && error !== null ? Reflect.get(error, "statusCode") : undefined;
  const name = error instanceof Error ? error.name : "";
  const refused =
    code !== undefined ||
    (name === "CredentialUnavailableError" && !UNREACHABLE.test(said)) ||
    (typeof status === "number" && status >= 400 && status < 500 && status !== 408 && status !== 429);
  return refused
    ? unauthorised(
        `cannot sign in to Azure (${code ?? (name || "refused")}): check AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret or federated credential: ${said.slice(0, 300)}`,
        { cause: error },
      )
    : unavailable(`cannot reach Entra to sign in: ${said.slice(0, 300)}`, { cause: error });
}

/** Hosts whose metadata the SDK knows; for any other it must not ask the public cloud about it. */
const KNOWN_HOSTS =
  /^https:\/\/login\.(microsoftonline\.(com|us)|chinacloudapi\.cn|partner\.microsoftonline\.cn)\/?$/;

/** Loads @azure/identity and returns what makes a credential of the configured kind. */
export async function loadCredential(config: ArmConnection): Promise<() => Credential> {
  const sdk = await import("@azure/identity");
  const shared = {
    authorityHost: config.authorityHost,
    disableInstanceDiscovery: !KNOWN_HOSTS.test(config.authorityHost),
    retryOptions: { maxRetries: 2, maxRetryDelayInMs: 2000 },
  };
  return () => {
    const identity = config.identity;
    switch (identity.kind) {
      case "secret":
        return new sdk.ClientSecretCredential(
          identity.tenantId,
          identity.clientId,
          identity.clientSecret.reveal(),
          shared,
        );
      case "workload":
        return new sdk.WorkloadIdentityCredential({
          ...shared,
          tenantId: identity.tenantId,
          clientId: identity.clientId,
          tokenFilePath: identity.tokenFile,
        });
      case "managed":
        return new sdk.ManagedIdentityCredential(
          identity.clientId === "" ? {} : { clientId: identity.clientId },
        );
    }
  };
}
