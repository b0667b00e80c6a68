import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Journal, type JournalHook } from "../../src/journal/index.ts";
import { LiveValue, Secret, silentLog } from "../../src/platform/index.ts";
import {
  type DirectVolumeEntry,
  type LifecycleNotice,
  type PodRequest,
  parsePodRequest,
  type SandboxConfig,
  type SandboxDeps,
  SandboxManager,
} from "../../src/sandbox/index.ts";
import { DEFAULT_TLS_PROFILE } from "../../src/tls/index.ts";
import { FakeClock } from "./fake-clock.ts";
import { FakeNode, FakeProxy } from "./fake-node.ts";
import { FakeProvider } from "./fake-provider.ts";

const CONFIG: SandboxConfig = {
  podsDir: "/run/peerpod/pods",
  limit: 10,
  limitWaitMs: 30_000,
  reservationMs: 600_000,
  vxlanMinId: 555_000,
  forwarderPort: 15_150,
  proxyTimeoutMs: 300_000,
  tls: { mode: "per-vm" },
  tlsProfile: DEFAULT_TLS_PROFILE,
  tlsSkipVerify: false,
  globalInitdata: undefined,
  scratchSpace: false,
  externalNetworkViaPodVm: false,
  owner: { clusterId: "cluster-1", nodeName: "node-1" },
  deleteAttemptMs: 600_000,
  deleteRetryMaxMs: 300_000,
  orphanGraceMs: 60_000,
  vmCheckIntervalMs: 30_000,
  pool: [],
  vmRevision: "first",
};

/** A node with everything in memory but the journal, which is real; its control plane can end and begin again. */
export class FakeSandboxes implements Disposable {
  readonly clock: FakeClock = new FakeClock();
  readonly cloud: FakeProvider = new FakeProvider();
  readonly node: FakeNode = new FakeNode();
  readonly proxy: FakeProxy = new FakeProxy();
  /** As at the beginning. */
  readonly config: SandboxConfig;
  readonly live: LiveValue<SandboxConfig>;
  /** What CSI drivers have left on the node. */
  volumes: readonly DirectVolumeEntry[] = [];
  /** What was told of the pods' lives. */
  readonly notices: LifecycleNotice[] = [];
  onNotice: (notice: LifecycleNotice) => void = (notice) => this.notices.push(notice);
  readonly #stateDir = mkdtempSync(join(tmpdir(), "sandboxes-"));
  readonly #hook: JournalHook | undefined;
  journal: Journal;
  deps: SandboxDeps;
  manager: SandboxManager;

  constructor(config: Partial<SandboxConfig> = {}, hook?: JournalHook) {
    this.config = { ...CONFIG, ...config };
    this.live = new LiveValue(this.config);
    this.#hook = hook;
    this.journal = this.#open();
    this.deps = this.#makeDeps();
    this.manager = new SandboxManager(this.deps);
  }

  #open(): Journal {
    return Journal.open({
      stateDir: this.#stateDir,
      clock: this.clock,
      sync: async () => undefined,
      ...(this.#hook === undefined ? {} : { hook: this.#hook }),
    });
  }

  #makeDeps(): SandboxDeps {
    return {
      clock: this.clock,
      log: silentLog,
      journal: this.journal,
      provider: this.cloud,
      networking: this.node,
      proxy: this.proxy,
      files: this.node,
      directVolumes: () => this.volumes,
      issueIdentity: async (serverName) => ({
        serverName,
        caPem: "ca",
        serverCertPem: "server-cert",
        serverKeyPem: new Secret("server-key"),
        clientCertPem: "client-cert",
        clientKeyPem: new Secret("client-key"),
      }),
      config: this.live,
      onNotice: (notice) => this.onNotice(notice),
    };
  }

  /** Ends the control plane in an orderly way and makes the next one over the same journal. */
  async restart(): Promise<void> {
    await this.manager.shutDown();
    this.journal.close();
    this.journal = this.#open();
    this.deps = this.#makeDeps();
    this.manager = new SandboxManager(this.deps);
  }

  /** Another manager over the same journal and node, with more to work with; instead of `manager`. */
  managerWith(more: Partial<SandboxDeps>): SandboxManager {
    return new SandboxManager({ ...this.deps, ...more });
  }

  request(id: string, pod = `pod-${id}`, namespace = "default"): PodRequest {
    return parsePodRequest(
      id,
      { "io.kubernetes.cri.sandbox-name": pod, "io.kubernetes.cri.sandbox-namespace": namespace },
      `/run/netns/${id}`,
    );
  }

  /** Everything that exists outside the journal and must have an owner. */
  residue(): readonly string[] {
    return [
      ...[...this.cloud.vms.keys()].map((name) => `vm ${name}`),
      ...[...this.node.tunnels].map((plan) => `tunnel ${plan}`),
      ...[...this.node.dirs].map((dir) => `dir ${dir}`),
      ...[...this.proxy.sandboxes.keys()].map((id) => `socket ${id}`),
      ...this.journal.sandboxes().map((s) => `sandbox ${s.id} ${s.phase}`),
      ...this.journal.vms().map((vm) => `vm row ${vm.name} ${vm.phase}`),
      ...this.journal.pool.vms().map((vm) => `pool row ${vm.name} ${vm.phase}`),
    ];
  }

  [Symbol.dispose](): void {
    this.journal.close();
    rmSync(this.#stateDir, { recursive: true, force: true });
  }
}
