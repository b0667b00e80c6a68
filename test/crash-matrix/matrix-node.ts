import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type MockCloudClient, mockCloudClient } from "../../providers/mock/mock-cloud/index.ts";
import { SCHEMA_VERSION } from "../../src/journal/schema.ts";
import { kvmResources, rebootKvm } from "../kvm/residue.ts";
import type { Child } from "../node/child.ts";
import { added, filesBelow, networkState } from "../node/residue.ts";
import { TestNode, type TestNodeOptions } from "../node/test-node.ts";
import type { LifeKind } from "./life.ts";

const never = new AbortController().signal;
const CLEAN_TIMEOUT_MS = 60_000;
/** A machine in software emulation takes its time to boot, and more when others work. */
const KVM_TIMEOUT_MS = 5 * 60_000;
const POLL_MS = 20;

/** Waits until `look` finds something; fails with what `describe` says after `timeoutMs`. */
export async function until<T>(
  look: () => T | undefined | Promise<T | undefined>,
  timeoutMs: number,
  describe: () => string,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(describe());
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** A node whose control planes stop where they are told, and everything of which can be counted. */
export class MatrixNode implements AsyncDisposable {
  readonly node: TestNode;
  readonly cloud: MockCloudClient;
  readonly #bootIdFile: string;
  #boots = 0;
  #baseline: readonly string[] = [];
  proxy: Child | undefined;
  /** How long what is left behind may take to go. */
  cleanTimeoutMs: number = CLEAN_TIMEOUT_MS;

  constructor(root: boolean, options: Omit<TestNodeOptions, "root"> = {}) {
    this.node = new TestNode({ root, limit: 2, ...options });
    this.cloud = mockCloudClient(join(this.node.dir, "cloud.sock"));
    this.#bootIdFile = join(this.node.dir, "boot-id");
    this.newBootId();
    if (this.#isKvm) this.cleanTimeoutMs = KVM_TIMEOUT_MS;
  }

  newBootId(): void {
    writeFileSync(this.#bootIdFile, `boot-${++this.#boots}\n`);
  }

  get pointsFile(): string {
    return join(this.node.dir, "points");
  }

  get #isKvm(): boolean {
    return this.node.options.provider === "kvm";
  }

  /** Lets the cloud do what it is asked, or not; QEMU is not told to fail. */
  async prepareCloud(life: LifeKind): Promise<void> {
    if (this.#isKvm) return;
    await this.cloud.clearFaults(never);
    if (life === "create-fails") await this.cloud.fault({ operation: "create", kind: "capacity" }, never);
    if (life === "delete-fails")
      await this.cloud.fault({ operation: "delete", kind: "unauthorised", count: 2 }, never);
  }

  /** What a reboot does to VMs of this node; the machine room's are elsewhere. */
  rebootVms(): void {
    if (this.#isKvm) rebootKvm(this.node.kvmDir);
  }

  async open(): Promise<void> {
    if (this.#isKvm) this.node.makeUplink();
    else await this.node.startMachineRoom();
    this.proxy = await this.node.startShimProxy();
  }

  /** Remembers what the network looks like without a pod's tunnel. */
  rememberNetwork(): void {
    this.#baseline = this.node.options.root ? networkState() : [];
  }

  /** Resolves when a VM of the warm pool waits for a pod, over all deaths of control planes. */
  async poolWaits(): Promise<void> {
    await until(
      () =>
        this.#rows("SELECT name AS text FROM pool WHERE phase = 'waiting'").length > 0 ? true : undefined,
      this.cleanTimeoutMs,
      () => `no VM of the pool came to wait:\n${this.node.logs()}`,
    );
  }

  /** A control plane that writes its points down, and stops itself at `stopAt`. */
  startControlPlane(options: {
    readonly stopAt?: string;
    readonly patient: boolean;
    readonly pool?: boolean;
  }): Child {
    rmSync(this.pointsFile, { force: true });
    return this.node.startControlPlane(
      [
        "-vm-check-interval=0",
        `-boot-id-file=${this.#bootIdFile}`,
        "-vm-delete-retry-max=1s",
        ...(options.pool ? ["-pod-vm-pool=1"] : []),
      ],
      {
        PEERPODS_TEST_POINTS_FILE: this.pointsFile,
        PEERPODS_TEST_STOP_AT: options.stopAt ?? "",
        PEERPODS_ORPHAN_GRACE: options.patient ? "60s" : "300ms",
        PEERPODS_CREATE_RESERVATION_TIMEOUT: options.patient ? "10m" : "1s",
      },
    );
  }

  /** Every point that the control plane reached, once, in order. */
  points(): string[] {
    if (!existsSync(this.pointsFile)) return [];
    return [...new Set(readFileSync(this.pointsFile, "utf8").trim().split("\n"))];
  }

  /** Resolves true when the process has stopped itself, false when `over` settled without that. */
  async stopped(child: Child, over: Promise<unknown>): Promise<boolean> {
    let ended = false;
    void over.then(
      () => (ended = true),
      () => (ended = true),
    );
    return await until(
      () => {
        if (!child.running) throw new Error(`the control plane ended by itself:\n${this.node.logs()}`);
        return isStopped(child) ? true : ended ? false : undefined;
      },
      this.cleanTimeoutMs,
      () => `the control plane neither stopped nor went on:\n${this.node.logs()}`,
    );
  }

  /** What exists of pods, anywhere: it must be nothing in the end. */
  async residue(): Promise<string[]> {
    return [
      ...(await this.#cloudInventory()).map((item) => `cloud: ${item}`),
      ...this.#journalRows(),
      ...filesBelow(this.node.podsDir),
      ...(this.node.options.root ? [...added(this.#baseline, networkState()), ...this.#podDevices()] : []),
    ];
  }

  async #cloudInventory(): Promise<readonly string[]> {
    return this.#isKvm ? kvmResources(this.node.kvmDir) : await this.cloud.inventory(never);
  }

  /** The column `text` of what a query finds; nothing while there is no journal of this release. */
  #rows(sql: string): string[] {
    const path = join(this.node.stateDir, "journal.db");
    if (!existsSync(path)) return [];
    using db = openReadOnly(path);
    if (db.db.prepare("PRAGMA user_version").get()?.["user_version"] !== SCHEMA_VERSION) return [];
    return db.db
      .prepare(sql)
      .all()
      .map((row) => String(row["text"]));
  }

  #journalRows(): string[] {
    return [
      ...this.#rows("SELECT 'journal: sandbox ' || id || ' ' || phase AS text FROM sandboxes"),
      ...this.#rows("SELECT 'journal: VM ' || name || ' ' || phase AS text FROM vms"),
      ...this.#rows("SELECT 'journal: pool VM ' || name || ' ' || phase AS text FROM pool"),
    ];
  }

  /** VXLAN devices and redirects in pod namespaces. */
  #podDevices(): string[] {
    return readdirSync("/run/netns").flatMap((name) => {
      const inside = (...args: string[]): string =>
        execFileSync("nsenter", [`--net=/run/netns/${name}`, ...args], { encoding: "utf8" });
      const devices = inside("ip", "-o", "link").includes("vxlan") ? [`device vxlan in ${name}`] : [];
      const ingress = inside("tc", "qdisc", "show").includes("ingress") ? [`redirect in ${name}`] : [];
      return [...devices, ...ingress];
    });
  }

  async becomesClean(): Promise<void> {
    let last: string[] = [];
    await until(
      async () => {
        last = await this.residue();
        return last.length === 0 ? true : undefined;
      },
      this.cleanTimeoutMs,
      () => `left behind: ${last.join("; ")}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node[Symbol.asyncDispose]();
  }
}

function openReadOnly(path: string): Disposable & { readonly db: DatabaseSync } {
  const db = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
  return { db, [Symbol.dispose]: () => db.close() };
}

function isStopped(child: Child): boolean {
  try {
    return /^State:\s+T/m.test(readFileSync(`/proc/${child.process.pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
