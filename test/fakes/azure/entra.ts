import { type ArmAnswer, json } from "./answers.ts";
import type { FakeAzure } from "./fake-azure.ts";

/** Who may sign in. */
export interface EntraIdentity {
  readonly tenantId: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** The service account token that counts as a federated credential; absent: none does. */
  readonly federatedToken?: string;
}

/** How long the fake's tokens live, seconds. */
const TOKEN_SECONDS = 3600;

/** Entra's own form of a refusal (OAuth 2.0, RFC 6749, 5.2, with Microsoft's codes). */
function refused(number: number, error: string, text: string): ArmAnswer {
  return json(error === "invalid_client" ? 401 : 400, {
    error,
    error_description: `AADSTS${number}: ${text}`,
    error_codes: [number],
    timestamp: "2026-11-23 00:00:00Z",
    trace_id: "00000000-0000-0000-0000-000000000000",
    correlation_id: "00000000-0000-0000-0000-000000000000",
  });
}

/**
 * Entra's token endpoint: client credentials with a secret or a federated assertion (Microsoft identity platform, OAuth 2.0 client
 * credentials flow). Undefined when the path is not Entra's.
 */
export function answerEntra(
  fake: FakeAzure,
  identity: EntraIdentity,
  request: { readonly url: URL; readonly body: string },
): ArmAnswer | undefined {
  const path = request.url.pathname;
  if (path.endsWith("/v2.0/.well-known/openid-configuration")) return metadata(request.url);
  const tenant = /^\/([^/]+)\/oauth2\/v2\.0\/token$/.exec(path)?.[1];
  if (tenant === undefined) return undefined;
  const form = new URLSearchParams(request.body);
  if (tenant !== identity.tenantId)
    return refused(90_002, "invalid_request", `Tenant '${tenant}' not found.`);
  if (form.get("grant_type") !== "client_credentials")
    return refused(70_003, "unsupported_grant_type", "The grant type is not supported.");
  if (form.get("client_id") !== identity.clientId)
    return refused(700_016, "unauthorized_client", "Application was not found in the directory.");
  if (!/\/\.default(\s|$)/.test(form.get("scope") ?? ""))
    return refused(1_002_012, "invalid_scope", "The provided value for scope is not valid.");
  const assertion = form.get("client_assertion");
  if (assertion !== null) {
    if (form.get("client_assertion_type") !== "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
      return refused(50_027, "invalid_request", "Invalid assertion type.");
    if (assertion !== identity.federatedToken)
      return refused(
        700_213,
        "invalid_client",
        "No matching federated identity record found for presented assertion subject.",
      );
  } else if (form.get("client_secret") !== identity.clientSecret) {
    return refused(7_000_215, "invalid_client", "Invalid client secret provided.");
  }
  const { token } = fake.issueToken(TOKEN_SECONDS * 1000);
  return json(200, {
    token_type: "Bearer",
    expires_in: TOKEN_SECONDS,
    ext_expires_in: TOKEN_SECONDS,
    access_token: token,
  });
}

function metadata(url: URL): ArmAnswer {
  const tenant = url.pathname.split("/")[1] ?? "";
  const base = `${url.origin}/${tenant}`;
  return json(200, {
    token_endpoint: `${base}/oauth2/v2.0/token`,
    authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
    issuer: `${base}/v2.0`,
    jwks_uri: `${base}/discovery/v2.0/keys`,
    end_session_endpoint: `${base}/oauth2/v2.0/logout`,
    response_types_supported: ["code"],
    subject_types_supported: ["pairwise"],
  });
}
