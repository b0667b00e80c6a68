import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { connect } from "node:tls";
import {
  AdmissionregistrationV1Api,
  DiscoveryV1Api,
  type KubernetesObject,
  PatchStrategy,
  setHeaderOptions,
} from "@kubernetes/client-node";
import * as v from "valibot";
import { parseAllDocuments } from "yaml";
import { Child, ROOT } from "../node/child.ts";
import { until } from "../real/service.ts";
import type { Cluster } from "./cluster.ts";
import { endpointAddress } from "./cluster-api.ts";

/** The name of the Service, ServiceAccount, registration and, with `-cert`, of the Secret. */
export const WEBHOOK = "peer-pods-webhook";
const SHIPPED_NAMESPACE = "confidential-containers-system";
const READY_TIMEOUT_MS = 60_000;

const Manifest = v.looseObject({ kind: v.string(), metadata: v.looseObject({ name: v.string() }) });

/** What the chart installs for the webhook, apart from its Deployment and Service, in a namespace of the test's. */
async function shippedObjects(
  namespace: string,
): Promise<readonly (KubernetesObject & Record<string, unknown>)[]> {
  const text = await readFile(join(ROOT, "deploy/manifests/azure.yaml"), "utf8");
  const documents = parseAllDocuments(text.replaceAll(SHIPPED_NAMESPACE, namespace));
  const objects = documents.map((document) => v.parse(Manifest, document.toJS()));
  const names = [WEBHOOK, `${WEBHOOK}-cert`, "peerpods-webhook"];
  const kinds = ["Secret", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
  return objects.filter(
    ({ kind, metadata: { name } }) =>
      kind === "RuntimeClass" ||
      kind === "MutatingWebhookConfiguration" ||
      (kinds.includes(kind) && names.includes(name)),
  );
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, endpointAddress());
  await once(server, "listening");
  const bound = server.address();
  server.close();
  await once(server, "close");
  return typeof bound === "object" && bound !== null ? bound.port : 0;
}

/** One process of the webhook. */
export interface Replica {
  readonly child: Child;
  readonly port: number;
  /** HTTP status; undefined: it does not answer. */
  readonly ready: () => Promise<number | undefined>;
}

/** The webhook as it is installed, with replicas that a test starts and ends. */
export class WebhookInstallation implements AsyncDisposable {
  readonly namespace: string;
  readonly #cluster: Cluster;
  readonly #undo: AsyncDisposableStack;
  readonly #kubeconfig: string;
  #started = 0;
  #routed = false;

  private constructor(
    cluster: Cluster,
    at: { readonly namespace: string; readonly kubeconfig: string; readonly undo: AsyncDisposableStack },
  ) {
    this.#cluster = cluster;
    this.namespace = at.namespace;
    this.#kubeconfig = at.kubeconfig;
    this.#undo = at.undo;
  }

  static async in(cluster: Cluster): Promise<WebhookInstallation> {
    await using undo = new AsyncDisposableStack();
    const namespace = await cluster.api.createNamespace("webhook");
    undo.use(await cluster.api.create(await shippedObjects(namespace)));
    const kubeconfig = await cluster.api.kubeconfigOf({ namespace, serviceAccount: WEBHOOK });
    return new WebhookInstallation(cluster, { namespace, kubeconfig, undo: undo.move() });
  }

  /** Starts a replica, with the rights of the chart's service account, and does not wait for it. */
  async start(env: Readonly<Record<string, string>> = {}): Promise<Replica> {
    const [port, healthPort] = [await freePort(), await freePort()];
    const address = endpointAddress();
    const child = new Child(
      "webhook",
      join(this.#cluster.dir, `webhook-${this.namespace}-${++this.#started}.log`),
      ["webhook"],
      {
        PEERPODS_KUBECONFIG: this.#kubeconfig,
        PEERPODS_WEBHOOK_ADDRESS: address,
        PEERPODS_WEBHOOK_PORT: String(port),
        PEERPODS_WEBHOOK_HEALTH_PORT: String(healthPort),
        PEERPODS_WEBHOOK_STOP_DELAY: "200ms",
        PEERPODS_WEBHOOK_CERT_CHECK_INTERVAL: "200ms",
        POD_NAMESPACE: this.namespace,
        CLOUD_PROVIDER: "azure",
        AZURE_INSTANCE_SIZES: "Standard_DC2as_v5,Standard_DC1s_v3,Standard_DC2s_v3",
        ...env,
      },
    );
    this.#undo.defer(() => child.kill());
    const ready = (): Promise<number | undefined> => statusOf(address, healthPort);
    return { child, port, ready };
  }

  /** Starts a replica and has the Service lead to it, once it is ready. */
  async serve(env: Readonly<Record<string, string>> = {}): Promise<Replica> {
    const replica = await this.start(env);
    await whenReady(replica);
    await this.route(replica);
    return replica;
  }

  /** Has the Service lead to this replica. */
  async route({ port }: Replica): Promise<void> {
    const { api } = this.#cluster;
    if (!this.#routed) {
      await api.routeService(this.namespace, WEBHOOK, port);
      this.#routed = true;
      return;
    }
    await api.config.makeApiClient(DiscoveryV1Api).patchNamespacedEndpointSlice(
      {
        namespace: this.namespace,
        name: WEBHOOK,
        body: { ports: [{ name: "https", port, protocol: "TCP" }] },
      },
      setHeaderOptions("Content-Type", PatchStrategy.MergePatch),
    );
  }

  /** What the API server trusts for the webhook now, PEM. */
  async trusted(): Promise<string> {
    const configuration = await this.#cluster.api.objects.read<KubernetesObject & { webhooks?: unknown }>({
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "MutatingWebhookConfiguration",
      metadata: { name: WEBHOOK },
    });
    const Webhooks = v.array(v.object({ clientConfig: v.object({ caBundle: v.optional(v.string(), "") }) }));
    const [webhook] = v.parse(Webhooks, configuration.webhooks);
    return Buffer.from(webhook?.clientConfig.caBundle ?? "", "base64").toString();
  }

  /** Has the API server trust this authority, PEM, as cert-manager does. */
  async trust(authority: string): Promise<void> {
    const caBundle = Buffer.from(authority).toString("base64");
    await this.#cluster.api.config
      .makeApiClient(AdmissionregistrationV1Api)
      .patchMutatingWebhookConfiguration(
        { name: WEBHOOK, body: [{ op: "add", path: "/webhooks/0/clientConfig/caBundle", value: caBundle }] },
        setHeaderOptions("Content-Type", PatchStrategy.JsonPatch),
      );
  }

  /** The certificate that a replica serves, if the API server would accept it. */
  async servedBy({ port }: Replica): Promise<string> {
    const socket = connect({
      host: endpointAddress(),
      port,
      ca: await this.trusted(),
      servername: `${WEBHOOK}.${this.namespace}.svc`,
    });
    await once(socket, "secureConnect");
    const { fingerprint256 } = socket.getPeerCertificate();
    socket.destroy();
    return fingerprint256;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo[Symbol.asyncDispose]();
  }
}

export async function whenReady({ child, ready }: Replica): Promise<void> {
  await until("a webhook that is ready", READY_TIMEOUT_MS, async () => {
    if (!child.running) throw new Error(`the webhook ended:\n${child.log()}`);
    return (await ready()) === 200;
  });
}

function statusOf(host: string, port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const outgoing = request({ host, port, path: "/readyz", agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    outgoing.on("error", () => resolve(undefined));
    outgoing.end();
  });
}
