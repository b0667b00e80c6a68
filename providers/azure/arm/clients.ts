import type { ComputeManagementClient, ComputeManagementClientOptionalParams } from "@azure/arm-compute";
import type { NetworkManagementClient } from "@azure/arm-network";
import type { ProviderContext } from "../../contract.ts";
import { type CallKind, createGate } from "./gate.ts";
import {
  type ArmConnection,
  type Credential,
  loadCredential,
  observedCredential,
  TokenSource,
} from "./token.ts";

/** How calls leave the process; a test puts its own in. */
export interface AzureTransport {
  /** Replaces the SDK's HTTPS client. */
  readonly httpClient?: NonNullable<ComputeManagementClientOptionalParams["httpClient"]>;
  /** Replaces Entra. */
  readonly credential?: Credential;
  /** Replaces Math.random in jitter. */
  readonly random?: () => number;
}

export interface AzureClients {
  readonly compute: ComputeManagementClient;
  readonly network: NetworkManagementClient;
  /** Calls made so far, repetitions included. */
  readonly calls: Readonly<Record<CallKind, number>>;
  /** Signs in; for `verify`. */
  signIn(): Promise<void>;
}

/** Loads the SDKs and makes one client of each, both behind one gate: one pace, one token, one retry budget per call. */
export async function connectAzure(
  context: ProviderContext,
  config: ArmConnection,
  transport: AzureTransport = {},
): Promise<AzureClients> {
  const [compute, network] = await Promise.all([import("@azure/arm-compute"), import("@azure/arm-network")]);
  const given = transport.credential;
  const makeCredential = given ? () => given : await loadCredential(config);
  const { clock, onCall } = context;
  const connect = observedCredential(makeCredential, { clock, onCall });
  const tokens = new TokenSource(clock, `${config.endpoint}/.default`, connect);
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
  const options: ComputeManagementClientOptionalParams = {
    endpoint: config.endpoint,
    userAgentOptions: { userAgentPrefix: "cloud-api-adaptor" },
    ...(transport.httpClient ? { httpClient: transport.httpClient } : {}),
  };
  const credential: Credential = {
    getToken: async () => ({ token: await tokens.get(), expiresOnTimestamp: Number.MAX_SAFE_INTEGER }),
  };
  const clients = {
    compute: new compute.ComputeManagementClient(credential, config.subscriptionId, options),
    network: new network.NetworkManagementClient(credential, config.subscriptionId, options),
  };
  for (const { pipeline } of [clients.compute, clients.network]) {
    // Both stand in our way: one keeps a refused token until it expires, the other waits as long as it is told.
    pipeline.removePolicy({ name: "bearerTokenAuthenticationPolicy" });
    pipeline.removePolicy({ name: "defaultRetryPolicy" });
    pipeline.addPolicy(
      { name: "peerpodsGate", sendRequest: (request, next) => gate(request, next) },
      { phase: "Retry" },
    );
  }
  return {
    ...clients,
    calls,
    signIn: async () => {
      await tokens.get();
    },
  };
}
