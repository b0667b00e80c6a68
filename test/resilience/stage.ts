import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { BUSYBOX_PATH, makeOciLayout } from "../../providers/mock/guest/make-image.ts";
import type { MockCloudClient } from "../../providers/mock/mock-cloud/index.ts";
import { HypervisorDefinition } from "../../src/gen/hypervisor/hypervisor.ts";
import { SCHEMA_VERSION } from "../../src/journal/schema.ts";
import { systemExec } from "../../src/platform/index.ts";
import { createClient, type ServiceClient, TtrpcClient } from "../../src/ttrpc/index.ts";
import { MatrixNode, until } from "../crash-matrix/matrix-node.ts";
import type { Child } from "../node/child.ts";
import { isRoot } from "../node/namespaces.ts";
import type { PodNetwork, TestNode, TestNodeOptions } from "../node/test-node.ts";
import { PlayedPod } from "../shim/played-pod.ts";
import { dial } from "../shim/played-shim.ts";

export type StageOptions = Omit<TestNodeOptions, "root">;

const IMAGE = "docker.io/library/demo:latest";
/** For what the machine does in a second when it has nothing else to do. */
export const PATIENCE_MS = 120_000;
export const never: AbortSignal = new AbortController().signal;

/** Values that make waits short; they are options, and nothing else of the product changes. */
const QUICK_FLAGS = [
  "-orphan-grace=1s",
  "-vm-check-interval=0",
  "-vm-delete-retry-max=1s",
  "-limit-wait=1s",
  "-create-reservation-timeout=10m",
];

/** A pod that runs a container. */
export interface RunningPod {
  readonly pod: PlayedPod;
  readonly container: string;
  readonly network: PodNetwork;
}

/** One node with machine room and shim-proxy; each case starts and ends its control planes. */
export class Stage implements AsyncDisposable {
  readonly #matrix: MatrixNode;
  readonly #controls: Child[] = [];
  readonly #pods: PlayedPod[] = [];
  readonly #networks: string[] = [];
  #podCount = 0;

  private constructor(options: StageOptions) {
    this.#matrix = new MatrixNode(isRoot, {
      limit: 10,
      ...options,
      adaptorFlags: [...QUICK_FLAGS, ...(options.adaptorFlags ?? [])],
    });
  }

  static async open(options: StageOptions = {}): Promise<Stage> {
    const stage = new Stage(options);
    await makeOciLayout(systemExec, join(stage.node.imagesDir, "demo"), {
      name: IMAGE,
      contents: { busybox: BUSYBOX_PATH, files: {} },
    });
    await stage.#matrix.open();
    stage.#matrix.rememberNetwork();
    return stage;
  }

  get node(): TestNode {
    return this.#matrix.node;
  }

  get cloud(): MockCloudClient {
    return this.#matrix.cloud;
  }

  /** The shim-proxy that runs. */
  get proxy(): Child {
    if (this.#matrix.proxy === undefined) throw new Error("no shim-proxy runs");
    return this.#matrix.proxy;
  }

  set proxy(child: Child) {
    this.#matrix.proxy = child;
  }

  /** Starts a control plane; calls wait for it. */
  control(flags: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Child {
    const child = this.node.startControlPlane(flags, env);
    this.#controls.push(child);
    return child;
  }

  /** Resolves when a control plane has attached and answers. */
  async answers(): Promise<void> {
    await this.node.shim
      .vmId({ name: "nobody", namespace: "nowhere" }, false, PATIENCE_MS)
      .catch((error: unknown) => {
        if (!(error instanceof Error && "code" in error && error.code === 5)) throw error;
      });
  }

  newPod(): { readonly pod: PlayedPod; readonly network: PodNetwork } {
    const name = `pod-${++this.#podCount}`;
    const network = this.node.addPodNetwork(name);
    this.#networks.push(name);
    this.#matrix.rememberNetwork();
    const pod = new PlayedPod(this.node.shim, { name, namespace: "resilience" }, network.netns);
    this.#pods.push(pod);
    return { pod, network };
  }

  /** A pod up to a running container, which gets these of the pod's annotations. */
  async runPod(
    args: readonly string[] = ["sh", "-c", "while :; do sleep 1; done"],
    annotations: Readonly<Record<string, string>> = {},
  ): Promise<RunningPod> {
    const { pod, network } = this.newPod();
    await pod.create();
    await pod.start();
    await pod.openSandbox();
    return { pod, network, container: await pod.startContainer({ image: IMAGE, args, annotations }) };
  }

  /** Ends a pod as its shim and the CNI do. */
  async endPod({ pod, container }: RunningPod): Promise<void> {
    await pod.removeContainer(container);
    await pod.stop();
    this.#pods.splice(this.#pods.indexOf(pod), 1);
    this.#networks.splice(this.#networks.indexOf(pod.pod.name), 1);
    this.node.removePodNetwork(pod.pod.name);
  }

  /** One hypervisor call with a connection of its own. */
  async call<T>(ask: (client: ServiceClient<typeof HypervisorDefinition>) => Promise<T>): Promise<T> {
    await using client = new TtrpcClient(await dial(this.node.hypervisorSocket));
    return await ask(createClient(HypervisorDefinition, client));
  }

  /** Name and id of the only VM of that sandbox. */
  async vmOf(pod: PlayedPod): Promise<{ readonly id: string; readonly name: string }> {
    const { vms } = await this.cloud.list({ tags: {}, names: [], after: undefined }, never);
    const found = vms.filter((vm) => vm.name.includes(pod.pod.name));
    const [vm] = found;
    if (vm === undefined || found.length > 1) throw new Error(`${pod.pod.name} has ${found.length} VMs`);
    return vm;
  }

  /** Rows of the journal, read beside its owner; none while it is being made. */
  journal(sql: string): readonly Record<string, unknown>[] {
    const path = join(this.node.stateDir, "journal.db");
    if (!existsSync(path)) return [];
    const db = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
    try {
      if (db.prepare("PRAGMA user_version").get()?.["user_version"] !== SCHEMA_VERSION) return [];
      return db.prepare(sql).all();
    } finally {
      db.close();
    }
  }

  /** Resolves when the query has rows. */
  async journalHas(sql: string): Promise<void> {
    await this.until(
      () => this.journal(sql).length > 0,
      () => `the journal never had: ${sql}`,
    );
  }

  async until(look: () => boolean | Promise<boolean>, describe: () => string): Promise<void> {
    await until(async () => ((await look()) ? true : undefined), PATIENCE_MS, describe);
  }

  /** Ends what the case has started, and fails when anything of its pods is left. */
  async clear(): Promise<void> {
    await this.cloud.clearFaults(never);
    await this.cloud.settings({ bootDelayMs: 0, deleteDelayMs: 0 }, never);
    for (const pod of this.#pods.splice(0)) await pod[Symbol.asyncDispose]();
    await this.#matrix.becomesClean();
    for (const child of this.#controls.splice(0)) await child.kill("SIGTERM");
    for (const name of this.#networks.splice(0)) this.node.removePodNetwork(name);
    this.#matrix.rememberNetwork();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#networks.splice(0)) this.node.removePodNetwork(name);
    await this.#matrix[Symbol.asyncDispose]();
  }
}
