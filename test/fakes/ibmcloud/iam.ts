import type { Clock } from "../../../src/platform/index.ts";
import { type IbmAnswer, type IbmRequest, json } from "./answers.ts";
import type { FakeIbmSettings } from "./settings.ts";

/** IAM's token service and the metadata service of a VPC instance, as the SDK's authenticators call them. */
export class Iam {
  readonly #clock: Clock;
  readonly #settings: FakeIbmSettings;
  readonly #tokens = new Map<string, number>();
  #next = 1;

  constructor(clock: Clock, settings: FakeIbmSettings) {
    this.#clock = clock;
    this.#settings = settings;
  }

  /** All tokens so far are refused from now on, whatever they say of themselves. */
  revoke(): void {
    this.#tokens.clear();
  }

  /** Whether a token is taken now. */
  accepts(token: string | undefined): boolean {
    return token !== undefined && (this.#tokens.get(token) ?? 0) > this.#clock.wallMs();
  }

  /** POST /identity/token, with the grants of the IAM Identity Services API (platform-services-go-sdk, June 2026). */
  token(request: IbmRequest): IbmAnswer {
    const form = new URLSearchParams(request.body);
    const grant = form.get("grant_type");
    if (grant === "urn:ibm:params:oauth:grant-type:apikey") {
      if (this.#settings.apiKeys.includes(form.get("apikey") ?? "")) return this.#issue();
      return refused("BXNIM0415E", "Provided API key could not be found.");
    }
    if (grant === "urn:ibm:params:oauth:grant-type:cr-token") {
      const known = this.#settings.trustedProfiles.includes(form.get("profile_id") ?? "");
      if (known && (form.get("cr_token") ?? "") !== "") return this.#issue();
      return refused("BXNIM0426E", "The provided trusted profile or compute resource token is not valid.");
    }
    return refused("BXNIM0109E", "Property grant_type missing or not supported.");
  }

  /** PUT /instance_identity/v1/token and POST /instance_identity/v1/iam_token of version 2022-03-01. */
  metadata(request: IbmRequest): IbmAnswer {
    if (request.url.pathname === "/instance_identity/v1/token") {
      return json(200, { access_token: jwt("instance", this.#clock.wallMs(), 300_000), expires_in: 300 });
    }
    return this.#issue();
  }

  #issue(): IbmAnswer {
    const nowMs = this.#clock.wallMs();
    const { tokenMs } = this.#settings;
    this.#next += 1;
    const token = jwt(`token-${this.#next}`, nowMs, tokenMs);
    this.#tokens.set(token, nowMs + tokenMs);
    return json(200, {
      access_token: token,
      refresh_token: "not_supported",
      token_type: "Bearer",
      expires_in: tokenMs / 1000,
      expiration: Math.floor((nowMs + tokenMs) / 1000),
    });
  }
}

function refused(errorCode: string, errorMessage: string): IbmAnswer {
  return json(400, { errorCode, errorMessage, context: { requestId: "fake" } });
}

/** A JSON web token that nobody has signed. */
function jwt(subject: string, nowMs: number, lifeMs: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const iat = Math.floor(nowMs / 1000);
  const claims = { sub: subject, iat, exp: iat + Math.floor(lifeMs / 1000) };
  return `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}.c2lnbmF0dXJl`;
}
