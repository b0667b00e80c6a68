import { CaaError, describeError, unauthorised, unavailable } from "../../../src/errors/index.ts";
import type { Clock, Secret } from "../../../src/platform/index.ts";
import { type TimedCall, timedCall } from "../../retry/index.ts";

/** How to sign in. */
export type IbmIdentity =
  | { readonly kind: "api-key"; readonly apiKey: Secret; readonly iamUrl: string }
  | {
      readonly kind: "service-account";
      readonly profileId: string;
      readonly tokenFile: string;
      readonly iamUrl: string;
    }
  /** The trusted profile linked to the VPC instance that we run on; "": the instance's default profile. */
  | { readonly kind: "instance"; readonly profileId: string };

/** The part of the SDK's authenticators that is used here: it puts an Authorization header in. */
export interface Authenticator {
  authenticate(request: { headers?: Record<string, unknown> }): Promise<void>;
}

interface HeldToken {
  readonly token: string;
  readonly renewAtMs: number;
  readonly expiresAtMs: number;
}

/** A token is renewed after this part of its life, as the SDK does. */
const RENEW_AFTER = 0.8;
/** Assumed when a token does not say when it ends. */
const UNKNOWN_LIFE_MS = 10 * 60_000;

/**
 * One token for all calls, and a way to say that it was refused: the SDK's own cache would give the same one again until
 * it expires. IAM is asked through a fresh authenticator of the SDK each time.
 */
export class TokenSource {
  readonly #clock: Clock;
  readonly #connect: () => Authenticator;
  readonly #where: string;
  #held: HeldToken | undefined;
  #pending: Promise<HeldToken> | undefined;

  /** `where` says in messages what to check. */
  constructor(clock: Clock, connect: () => Authenticator, where: string) {
    this.#clock = clock;
    this.#connect = connect;
    this.#where = where;
  }

  /** A token with some life left. Throws `unauthorised` when IAM refuses us, `unavailable` when it does not answer. */
  async get(): Promise<string> {
    const held = this.#held;
    if (held && held.renewAtMs > this.#clock.wallMs()) return held.token;
    this.#pending ??= this.#fetch().finally(() => {
      this.#pending = undefined;
    });
    try {
      return (await this.#pending).token;
    } catch (error) {
      // A token of the last minutes is better than none while IAM does not answer.
      if (held && this.#held === held && held.expiresAtMs > this.#clock.wallMs()) return held.token;
      throw error;
    }
  }

  /** IBM answered 401 to this token: forget it. */
  refused(token: string): void {
    if (this.#held?.token === token) this.#held = undefined;
  }

  async #fetch(): Promise<HeldToken> {
    const request: { headers: Record<string, unknown> } = { headers: {} };
    try {
      await this.#connect().authenticate(request);
    } catch (error) {
      throw tokenError(error, this.#where);
    }
    const header = request.headers["Authorization"];
    const token = typeof header === "string" ? header.replace(/^Bearer /, "") : "";
    if (token === "") throw unauthorised(`IAM gave no token: check ${this.#where}`);
    const nowMs = this.#clock.wallMs();
    const expiresAtMs = expiryOf(token) ?? nowMs + UNKNOWN_LIFE_MS;
    this.#held = { token, expiresAtMs, renewAtMs: nowMs + (expiresAtMs - nowMs) * RENEW_AFTER };
    return this.#held;
  }
}

/** The authenticator, with every sign-in told as a call `token.get`: a key that was revoked shows before any call is made with it. */
export function observedAuthenticator(
  connect: () => Authenticator,
  about: Pick<TimedCall, "clock" | "onCall">,
): () => Authenticator {
  return () => {
    const authenticator = connect();
    return {
      authenticate: (request) =>
        timedCall(
          { ...about, operation: "token.get", repeated: false },
          () => authenticator.authenticate(request),
          (end) =>
            "value" in end
              ? "ok"
              : tokenError(end.error, "").kind === "unauthorised"
                ? "unauthorised"
                : "unavailable",
        ),
    };
  };
}

/** The `exp` claim of a JSON web token, in milliseconds. Who reads it here trusts IAM for the signature. */
export function expiryOf(token: string): number | undefined {
  const payload = token.split(".")[1];
  if (payload === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString());
    const exp: unknown =
      typeof claims === "object" && claims !== null ? Reflect.get(claims, "exp") : undefined;
    return typeof exp === "number" ? exp * 1000 : undefined;
  } catch {
    // Not a JSON web token: its life is not known.
    return undefined;
  }
}

function tokenError(error: unknown, where: string): CaaError {
  if (error instanceof CaaError) return error;
  const status: unknown = error instanceof Error ? Reflect.get(error, "status") : undefined;
  const result: unknown = error instanceof Error ? Reflect.get(error, "result") : undefined;
  const said =
    typeof result === "object" && result !== null
      ? `${Reflect.get(result, "errorCode") ?? ""} ${Reflect.get(result, "errorMessage") ?? ""}`.trim()
      : "";
  const text = (said || describeError(error)).slice(0, 300);
  if (/CR token file/.test(describeError(error))) {
    return unauthorised(
      `cannot sign in to IBM Cloud: the service account token cannot be read (${text}): project one with audience iam, or set cr-token-filename`,
      { cause: error },
    );
  }
  const refused =
    typeof status === "number" && status >= 400 && status < 500 && status !== 408 && status !== 429;
  return refused
    ? unauthorised(`cannot sign in to IBM Cloud (${status} ${text}): check ${where}`, { cause: error })
    : unavailable(`cannot reach IBM's IAM to sign in: ${text}`, { cause: error });
}
