import type { Agent, OutgoingHttpHeaders, RequestOptions } from "node:http";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { describeError, invalidConfig } from "../../errors/index.ts";
import { readTextFile } from "../../platform/index.ts";

/** How a cluster's API server is found, and who we are to it. */
export type ClusterAccess =
  | { readonly kind: "kubeconfig"; readonly file: string }
  | {
      /** The address that the kubelet gives to pods, and the pod's service account. */
      readonly kind: "in-cluster";
      readonly host: string;
      readonly port: string;
      readonly serviceAccountDir: string;
    };

/** An API server with our credentials, which may change with every request: tokens are renewed under us. */
export interface Endpoint extends Disposable {
  /** Without a slash at the end. */
  readonly server: string;
  /** Credentials, certificates and connection pool of the next request. Throws `invalid-config` when they cannot be had. */
  requestOptions(): Promise<ConnectOptions>;
}

/** What node:https takes beside the request itself. */
export interface ConnectOptions extends RequestOptions {
  readonly headers: OutgoingHttpHeaders;
  readonly ca?: string | Buffer;
}

const SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount";
const MAX_FILE_BYTES = 1024 * 1024;
/** Idle connections are probed after this time, before a load balancer forgets them (client-go has the same). */
const KEEP_ALIVE_MS = 30_000;

/**
 * The kubeconfig file if one is named, else the service account of the pod that this process runs in. Throws `invalid-config`
 * when there is neither.
 */
export function clusterAccess(
  kubeconfigFile: string,
  env: Readonly<Record<string, string | undefined>>,
): ClusterAccess {
  if (kubeconfigFile !== "") return { kind: "kubeconfig", file: kubeconfigFile };
  const host = env["KUBERNETES_SERVICE_HOST"] ?? "";
  if (host === "") {
    throw invalidConfig(
      "the cluster cannot be found: PEERPODS_KUBECONFIG is not set, and KUBERNETES_SERVICE_HOST, which the kubelet sets in pods, is not either",
    );
  }
  const port = env["KUBERNETES_SERVICE_PORT"] ?? "";
  return {
    kind: "in-cluster",
    host,
    port: port === "" ? "443" : port,
    serviceAccountDir: SERVICE_ACCOUNT_DIR,
  };
}

/** Throws `invalid-config` when a kubeconfig cannot be used. Connects to nothing. */
export async function openEndpoint(access: ClusterAccess): Promise<Endpoint> {
  return access.kind === "in-cluster" ? inClusterEndpoint(access) : await kubeconfigEndpoint(access.file);
}

function inClusterEndpoint(access: ClusterAccess & { readonly kind: "in-cluster" }): Endpoint {
  const agent = new HttpsAgent({ keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS });
  const host = access.host.includes(":") ? `[${access.host}]` : access.host;
  return {
    server: `https://${host}:${access.port}`,
    async requestOptions() {
      try {
        // Read each time: the kubelet replaces the token every hour, and the CA when the cluster's is rotated.
        const [token, ca] = await Promise.all([
          readTextFile(`${access.serviceAccountDir}/token`, MAX_FILE_BYTES),
          readTextFile(`${access.serviceAccountDir}/ca.crt`, MAX_FILE_BYTES),
        ]);
        return { agent, ca, headers: { authorization: `Bearer ${token.trim()}` } };
      } catch (cause) {
        throw invalidConfig(
          `the pod's service account cannot be read from ${access.serviceAccountDir}: ${describeError(cause)}; set automountServiceAccountToken`,
          { cause },
        );
      }
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

/**
 * Through the Kubernetes project's own client, which knows every way to authenticate that a kubeconfig can name. It is loaded
 * here and not before: it takes 67 MB and 0.4 s (measured), which pods in a cluster can do without.
 */
async function kubeconfigEndpoint(file: string): Promise<Endpoint> {
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  try {
    config.loadFromFile(file);
  } catch (cause) {
    throw invalidConfig(`kubeconfig ${file} cannot be read: ${describeError(cause)}`, { cause });
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    throw invalidConfig(
      `kubeconfig ${file} has no current context with a cluster; set current-context, or name another file in PEERPODS_KUBECONFIG`,
    );
  }
  const pool = { keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS };
  const agent: Agent = cluster.server.startsWith("http:") ? new HttpAgent(pool) : new HttpsAgent(pool);
  return {
    server: cluster.server.replace(/\/+$/, ""),
    async requestOptions() {
      const options: ConnectOptions = { headers: {} };
      try {
        await config.applyToHTTPSOptions(options);
      } catch (cause) {
        throw invalidConfig(`the credentials of kubeconfig ${file} cannot be used: ${describeError(cause)}`, {
          cause,
        });
      }
      // The library's agent is needed for its proxies only: it keeps no connection open.
      return cluster.proxyUrl === undefined ? { ...options, agent } : options;
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}
