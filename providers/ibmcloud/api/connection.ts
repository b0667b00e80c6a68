import type { ProviderContext } from "../../contract.ts";
import { type CallKind, createGate, type Gate } from "./gate.ts";
import { operationOf } from "./operation.ts";
import { type Authenticator, type IbmIdentity, observedAuthenticator, TokenSource } from "./token.ts";

/** How calls leave the process; a test puts its own in. */
export interface IbmTransport {
  /** Replaces the network under the SDK's HTTP client (an axios adapter), IAM included. */
  readonly adapter?: (config: unknown) => Promise<unknown>;
  /** Replaces Math.random in jitter. */
  readonly random?: () => number;
}

/** One call to a service of IBM. */
export interface IbmCall {
  readonly method: "GET" | "POST" | "DELETE";
  /** The service's base, without a slash at the end. */
  readonly base: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: object;
  /** A write that may be sent twice. */
  readonly repeatable?: boolean;
}

export interface IbmConnection {
  /** Sends a call, with retries where they are safe, and returns the answer's body. Throws what the SDK throws, or `cancelled`. */
  send(call: IbmCall, signal: AbortSignal): Promise<unknown>;
  /** Calls made so far, repetitions included. */
  readonly calls: Readonly<Record<CallKind, number>>;
  /** Signs in; for `verify`. */
  signIn(): Promise<void>;
}

const TOKEN_TIMEOUT_MS = 30_000;

/** Loads the SDK and makes one client, behind one gate: one pace, one token, one retry budget per call. */
export async function connectIbm(
  context: ProviderContext,
  identity: IbmIdentity,
  transport: IbmTransport = {},
): Promise<IbmConnection> {
  const core = await import("ibm-cloud-sdk-core");
  const http = transport.adapter ? { adapter: transport.adapter } : {};
  const { clock, onCall } = context;
  const connect = observedAuthenticator(authenticators(core, identity, http), { clock, onCall });
  const tokens = new TokenSource(clock, connect, checkOf(identity));
  const calls: Record<CallKind, number> = { read: 0, write: 0, delete: 0 };
  const gate = createGate({
    clock: context.clock,
    log: context.log,
    tokens,
    random: transport.random ?? Math.random,
    count: (kind) => {
      calls[kind] += 1;
    },
    onCall: context.onCall,
  });
  /** The token comes with each call, from the gate, which knows when one was refused. */
  class Client extends core.BaseService {
    constructor() {
      super({ ...http, authenticator: new core.NoAuthAuthenticator() });
    }

    async request(call: IbmCall, token: string, signal: AbortSignal): Promise<unknown> {
      const reply: unknown = await this.createRequest({
        options: {
          method: call.method,
          url: call.path,
          qs: { ...call.query },
          ...(call.body ? { body: call.body } : {}),
        },
        defaultOptions: {
          serviceUrl: call.base,
          headers: {
            Accept: "application/json",
            Authorization: `Bearer ${token}`,
            ...(call.body ? { "Content-Type": "application/json" } : {}),
          },
          axiosOptions: { signal },
        },
      });
      return typeof reply === "object" && reply !== null ? Reflect.get(reply, "result") : undefined;
    }
  }
  const client = new Client();
  return {
    calls,
    send: (call, signal) => sendThrough(gate, client, call, signal),
    signIn: async () => {
      await tokens.get();
    },
  };
}

interface Requester {
  request(call: IbmCall, token: string, signal: AbortSignal): Promise<unknown>;
}

function sendThrough(gate: Gate, client: Requester, call: IbmCall, signal: AbortSignal): Promise<unknown> {
  const kind = call.method === "GET" ? "read" : call.method === "DELETE" ? "delete" : "write";
  const operation = operationOf(call.method, call.path);
  const about = { kind, operation, repeatable: call.repeatable ?? false } as const;
  return gate(about, (token, inner) => client.request(call, token, inner), signal);
}

/** What makes a fresh authenticator of the configured kind. */
function authenticators(
  core: typeof import("ibm-cloud-sdk-core"),
  identity: IbmIdentity,
  http: object,
): () => Authenticator {
  const shared = { ...http, timeout: TOKEN_TIMEOUT_MS };
  return () => {
    switch (identity.kind) {
      case "api-key":
        return new core.IamAuthenticator({
          ...shared,
          apikey: identity.apiKey.reveal(),
          url: identity.iamUrl,
        });
      case "service-account":
        return new core.ContainerAuthenticator({
          ...shared,
          iamProfileId: identity.profileId,
          crTokenFilename: identity.tokenFile,
          url: identity.iamUrl,
        });
      case "instance":
        return new core.VpcInstanceAuthenticator({
          ...shared,
          ...(identity.profileId === "" ? {} : { iamProfileId: identity.profileId }),
        });
    }
  };
}

function checkOf(identity: IbmIdentity): string {
  switch (identity.kind) {
    case "api-key":
      return "IBMCLOUD_API_KEY and IBMCLOUD_IAM_ENDPOINT";
    case "service-account":
      return "IBMCLOUD_IAM_PROFILE_ID and that the trusted profile trusts this cluster's service account";
    case "instance":
      return "the trusted profile that is linked to this VPC instance, and its metadata service";
  }
}
