import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type CoreV1Event,
  type KubernetesObject,
  PatchStrategy,
  setHeaderOptions,
  type V1Node,
} from "@kubernetes/client-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { askAdmin } from "../../src/admin/client.ts";
import { parseStatus, type Status } from "../../src/admin/status.ts";
import { findHelm, Helm, RELEASE } from "../chart/helm.ts";
import { Child } from "../node/child.ts";
import { until } from "../real/service.ts";
import { type Cluster, NODE_NAMES } from "./cluster.ts";
import { InstalledChart } from "./installed-chart.ts";

const found = await findHelm();
const suffix = "missing" in found ? ` (${found.missing})` : "";

const SETUP_TIMEOUT_MS = 120_000;
const PATIENCE_MS = 60_000;
const ACCOUNT = "cloud-api-adaptor";
const CONFIG_MAP = "peer-pods-cm";
const VM = "kata.peerpods.io/vm";
const POD = "configured";
const [NODE] = NODE_NAMES;
const merge = setHeaderOptions("Content-Type", PatchStrategy.MergePatch);

const nodeObject: KubernetesObject & { readonly status: object } = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: NODE },
  status: { capacity: { cpu: "4" }, allocatable: { cpu: "4" } },
};

/** The adaptor as a process, with the rights that the chart gives its pod. */
class Adaptor implements AsyncDisposable {
  readonly #cluster: Cluster;
  readonly #namespace: string;
  readonly #dir = mkdtempSync(join(tmpdir(), "ppc-"));
  readonly child: Child;

  private constructor(cluster: Cluster, namespace: string, env: Readonly<Record<string, string>>) {
    this.#cluster = cluster;
    this.#namespace = namespace;
    this.child = new Child("adaptor", join(this.#dir, "adaptor.log"), ["mock"], {
      NODE_NAME: NODE,
      REMOTE_HYPERVISOR_ENDPOINT: join(this.#dir, "hypervisor.sock"),
      PODS_DIR: join(this.#dir, "pods"),
      PEERPODS_STATE_DIR: join(this.#dir, "state"),
      PEERPODS_SHIM_PROXY_WAIT: "0s",
      POD_NAME: POD,
      POD_NAMESPACE: namespace,
      ...env,
    });
  }

  /** Its pod never runs, but is there to be read; its container sets PEERPODS_LIMIT_WAIT itself. */
  static async start(cluster: Cluster, namespace: string): Promise<Adaptor> {
    const { api } = cluster;
    const pod = await api.core.createNamespacedPod({
      namespace,
      body: {
        metadata: { name: POD },
        spec: {
          nodeName: NODE,
          serviceAccountName: ACCOUNT,
          containers: [
            {
              name: "main",
              image: "none.invalid/none",
              env: [{ name: "PEERPODS_LIMIT_WAIT", value: "7s" }],
            },
          ],
        },
      },
    });
    const kubeconfig = await api.kubeconfigOf({ namespace, serviceAccount: ACCOUNT, pod: POD });
    const uid = pod.metadata?.uid ?? "";
    const env = { POD_UID: uid, PEERPODS_KUBECONFIG: kubeconfig, PEERPODS_LIMIT_WAIT: "7s" };
    return new Adaptor(cluster, namespace, env);
  }

  async status(): Promise<Status> {
    const request = { method: "GET", path: "/status", timeoutMs: PATIENCE_MS } as const;
    return parseStatus((await askAdmin(join(this.#dir, "admin.sock"), request)).body);
  }

  /** Resolves with the first status that is as wanted. */
  async becomes(what: string, wanted: (status: Status) => boolean): Promise<Status> {
    return await until(what, PATIENCE_MS, async () => {
      const status = await this.status().catch(() => undefined);
      return status !== undefined && wanted(status) && status;
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.child.log().slice(-4000)}`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.kill("SIGTERM");
    const gone = { namespace: this.#namespace, name: POD, gracePeriodSeconds: 0 };
    await this.#cluster.api.core.deleteNamespacedPod(gone).catch(() => undefined);
    rmSync(this.#dir, { recursive: true });
  }
}

const keys = (notes: Status["configuration"]["wrong"]): readonly string[] => notes.map(({ key }) => key);

/** Changes of peer-pods-cm while an adaptor runs, on a real API server and under the chart's rights. */
export function configCases(cluster: () => Cluster): void {
  describe.skipIf("missing" in found)(`the adaptor's configuration${suffix}`, () => {
    let chart: InstalledChart | undefined;
    let node: AsyncDisposable | undefined;

    beforeAll(async () => {
      const namespace = await cluster().api.createNamespace("config");
      const values = { provider: "azure", webhook: { enabled: false } };
      chart = new InstalledChart(new Helm("path" in found ? found.path : ""), cluster(), {
        namespace,
        values,
      });
      await chart.apply();
      node = await cluster().api.create([nodeObject]);
    }, SETUP_TIMEOUT_MS);

    afterAll(async () => {
      await node?.[Symbol.asyncDispose]();
      await chart?.tryTo("uninstall", RELEASE, "--no-hooks", "--ignore-not-found");
    }, SETUP_TIMEOUT_MS);

    /** null removes a key. */
    const patch = async (data: Readonly<Record<string, string | null>>): Promise<void> => {
      const at = { name: CONFIG_MAP, namespace: chart?.namespace ?? "" };
      await cluster().api.core.patchNamespacedConfigMap({ ...at, body: { data } }, merge);
    };

    const capacityBecomes = async (value: string, adaptor: Adaptor): Promise<void> => {
      const isIt = (one: V1Node): boolean =>
        one.metadata?.name === NODE && one.status?.capacity?.[VM] === value;
      await cluster()
        .api.waitFor<V1Node>("/api/v1/nodes", isIt)
        .catch((cause: unknown) => {
          throw new Error(`capacity ${value} was not seen:\n${adaptor.child.log().slice(-4000)}`, { cause });
        });
    };

    test("a new limit counts at once and is advertised; what is wrong, unknown or needs a restart is named", async () => {
      const namespace = chart?.namespace ?? "";
      await using adaptor = await Adaptor.start(cluster(), namespace);
      await patch({ PEERPODS_LIMIT_PER_NODE: "6" });
      await capacityBecomes("6", adaptor);
      await patch({
        PEERPODS_LIMIT_PER_NODE: "4",
        PROXY_TIMEOUT: "5",
        VXLAN_PORT: "8472",
        PEERPODS_LIMIT_WAI: "1s",
        PEERPODS_LIMIT_WAIT: "9s",
      });
      await capacityBecomes("4", adaptor);
      const { limit, configuration } = await adaptor.becomes("the report", ({ configuration: told }) =>
        keys(told.wrong).includes("PROXY_TIMEOUT"),
      );
      expect(limit.most).toBe(4);
      expect(configuration).toMatchObject({
        source: `ConfigMap ${namespace}/${CONFIG_MAP}`,
        trouble: null,
        changedAt: expect.any(String),
      });
      expect(keys(configuration.needRestart)).toContain("VXLAN_PORT");
      expect(keys(configuration.unknown)).toContain("PEERPODS_LIMIT_WAI");
      expect(keys(configuration.overridden)).toEqual(["PEERPODS_LIMIT_WAIT"]);
      await cluster().api.waitFor<CoreV1Event>(
        `/api/v1/namespaces/${namespace}/events`,
        (event) =>
          event.involvedObject.name === POD &&
          event.reason === "PeerPodConfiguration" &&
          (event.message ?? "").includes("PROXY_TIMEOUT is wrong"),
      );
      await patch({ PEERPODS_LIMIT_PER_NODE: null, PROXY_TIMEOUT: null });
      await capacityBecomes("10", adaptor);
      const mended = await adaptor.becomes(
        "the mended state",
        ({ configuration: told }) => told.wrong.length === 0,
      );
      expect(mended.limit.most).toBe(10);
    });

    test("nothing of it needs a right that the chart does not give", async () => {
      const user = `system:serviceaccount:${chart?.namespace}:${ACCOUNT}`;
      const refused = (await cluster().api.requestsOf(user)).filter(({ status }) => status === 403);
      expect(refused).toEqual([]);
    });
  });
}
