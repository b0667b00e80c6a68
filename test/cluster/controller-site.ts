import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KubernetesObject } from "@kubernetes/client-node";
import { parseAllDocuments } from "yaml";
import { mockCloudClient } from "../../providers/mock/mock-cloud/index.ts";
import { startTestRoom, type TestRoom } from "../../providers/mock/mock-cloud/testing.ts";
import { MockProvider } from "../../providers/mock/provider.ts";
import { Secret, silentLog, systemClock, systemExec } from "../../src/platform/index.ts";
import { PROGRAM } from "../node/child.ts";
import { Service } from "../real/service.ts";
import type { Cluster } from "./cluster.ts";
import { hasStatus } from "./cluster-api.ts";

const ROOT = join(import.meta.dirname, "../..");
const CHART_NAMESPACE = "confidential-containers-system";
const CONTROLLER = "peerpod-controller";

export type Manifest = KubernetesObject & Readonly<Record<string, unknown>>;

/** What a VM of a test is: whose, as its tags say. */
export interface VmOf {
  readonly node: string;
  readonly sandbox: string;
  readonly pod: string;
  readonly namespace: string;
}

/**
 * Controllers as processes, under the service account and the rights of the chart, with a machine room for their cloud. Gone with
 * `await using`, CRD included.
 */
export class ControllerSite implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly clusterId: string;
  readonly room: TestRoom;
  readonly #controllers = new Map<string, Service>();
  readonly #kubeconfig: string;
  readonly #logDir: string;
  readonly #undo: AsyncDisposableStack;

  private constructor(
    cluster: Cluster,
    parts: {
      namespace: string;
      clusterId: string;
      room: TestRoom;
      kubeconfig: string;
      logDir: string;
      undo: AsyncDisposableStack;
    },
  ) {
    this.cluster = cluster;
    this.namespace = parts.namespace;
    this.clusterId = parts.clusterId;
    this.room = parts.room;
    this.#kubeconfig = parts.kubeconfig;
    this.#logDir = parts.logDir;
    this.#undo = parts.undo;
  }

  static async start(cluster: Cluster): Promise<ControllerSite> {
    await using undo = new AsyncDisposableStack();
    const { api } = cluster;
    const namespace = await api.createNamespace("controller");
    const logDir = await mkdtemp(join(tmpdir(), "controller-log-"));
    undo.defer(() => rm(logDir, { recursive: true, force: true }));
    undo.use(await api.create(await missingOnes(cluster, await rightsOfChart(namespace))));
    // A cluster without any node is not believed.
    undo.use(await api.create([{ apiVersion: "v1", kind: "Node", metadata: { name: "controller-0" } }]));
    const room = undo.use(await startTestRoom({ rootless: true }));
    const system = await api.core.readNamespace({ name: "kube-system" });
    const kubeconfig = await api.kubeconfigOf({ namespace, serviceAccount: CONTROLLER });
    const site = new ControllerSite(cluster, {
      namespace,
      clusterId: system.metadata?.uid ?? "",
      room,
      kubeconfig,
      logDir,
      undo: undo.move(),
    });
    return site;
  }

  /** Resolves when it is ready: leading or standing by. */
  async startController(podName: string): Promise<void> {
    const port = await freePort();
    const controller = new Service({
      name: podName,
      argv: [PROGRAM, "controller", "mock"],
      env: {
        PEERPODS_KUBECONFIG: this.#kubeconfig,
        POD_NAMESPACE: this.namespace,
        POD_NAME: podName,
        MOCK_CLOUD_SOCKET: this.room.config.socket,
        PEERPODS_CONTROLLER_HEALTH_PORT: String(port),
        PEERPODS_LOG_LEVEL: "debug",
      },
      logFile: join(this.#logDir, podName),
      readyTimeoutMs: 60_000,
      ready: async () => {
        const answer = await systemExec.run(["curl", "-sf", `http://127.0.0.1:${port}/readyz`]);
        return answer.code === 0;
      },
    });
    this.#controllers.set(podName, controller);
    try {
      await controller.start();
    } catch (cause) {
      throw new Error(`${String(cause)}\n${await this.logs()}`, { cause });
    }
  }

  async kill(podName: string): Promise<void> {
    await this.#controllers.get(podName)?.end("SIGKILL");
  }

  async end(podName: string): Promise<void> {
    await this.#controllers.get(podName)?.end("SIGTERM");
  }

  /** For the message of a failure. */
  async logs(): Promise<string> {
    const texts = [...this.#controllers.keys()].map(async (name) => {
      const text = await readFile(join(this.#logDir, name), "utf8").catch(() => "");
      return `--- ${name}\n${text.split("\n").slice(-40).join("\n")}`;
    });
    return (await Promise.all(texts)).join("\n");
  }

  /** The cloud, as the adaptor of that node has it. */
  provider(nodeName: string): MockProvider {
    const owner = { clusterId: this.clusterId, nodeName };
    const context = { clock: systemClock, exec: systemExec, log: silentLog, owner };
    const client = mockCloudClient(this.room.config.socket);
    return new MockProvider(context, client, { image: "", userDataLimitBytes: 65_536, tags: {} });
  }

  /** A VM as an adaptor makes it. Resolves to its id. */
  async vm(name: string, of: VmOf): Promise<string> {
    const request = {
      name,
      tags: {
        "peerpods-sandbox": of.sandbox,
        "peerpods-namespace": of.namespace,
        "peerpods-pod": of.pod,
      },
      userData: new Secret("#cloud-config\n"),
      size: { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 },
      image: "",
      dedicatedTunnelInterface: false,
      externalNetworkInterface: false,
      volumes: [],
    };
    const options = {
      signal: new AbortController().signal,
      onId: () => undefined,
      onProgress: () => undefined,
    };
    return (await this.provider(of.node).create(request, options)).id;
  }

  hasVm(name: string): boolean {
    return this.room.room.vmNames().includes(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const controller of this.#controllers.values()) await controller.end("SIGKILL");
    await this.#undo.disposeAsync();
  }
}

/** The CRD, and what the chart's manifests let the controller do, in a namespace of ours. */
async function rightsOfChart(namespace: string): Promise<readonly Manifest[]> {
  const text = await readFile(join(ROOT, "deploy/manifests/azure.yaml"), "utf8");
  const objects = parseAllDocuments(text.replaceAll(CHART_NAMESPACE, namespace)).map(
    (document): Manifest => document.toJS(),
  );
  const kinds = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
  return objects.filter(
    ({ kind = "", metadata }) =>
      kind === "CustomResourceDefinition" || (kinds.includes(kind) && metadata?.name === CONTROLLER),
  );
}

/** Without those that another suite has made and not yet removed. */
export async function missingOnes(
  cluster: Cluster,
  objects: readonly Manifest[],
): Promise<readonly Manifest[]> {
  const missing: Manifest[] = [];
  for (const object of objects) {
    const { apiVersion = "", kind = "", metadata } = object;
    const at = { name: metadata?.name ?? "", namespace: metadata?.namespace ?? "" };
    const header = { apiVersion, kind, metadata: at };
    const isThere = await cluster.api.objects.read(header).then(
      () => true,
      (error: unknown) => {
        if (hasStatus(error, 404)) return false;
        throw error;
      },
    );
    if (!isThere) missing.push(object);
  }
  return missing;
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}
