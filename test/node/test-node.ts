import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { PlayedShim } from "../shim/played-shim.ts";
import { Child, guestScript } from "./child.ts";
import { type FakeCloud, startFakeCloud } from "./fake-cloud.ts";

const START_TIMEOUT_MS = 30_000;
const UPLINK_ADDRESS = "192.0.2.10";
const UPLINK_GATEWAY = "192.0.2.1";

export interface PodNetwork {
  readonly netns: string;
  readonly ip: string;
  readonly mac: string;
}

export interface TestNodeOptions {
  /** Namespaces, tunnels and runc; without, VMs are plain processes. */
  readonly root: boolean;
  readonly limit?: number;
  readonly adaptorFlags?: readonly string[];
  readonly proxyFlags?: readonly string[];
  readonly machineRoomFlags?: readonly string[];
  /** The cloud that the adaptor uses; `mock`, the machine room itself, unless a fake of another one is put before it. */
  readonly provider?: "mock" | "azure" | "ibmcloud" | "kvm";
  /** Image of the VMs of provider `kvm`: a path. */
  readonly kvmImage?: string;
  /** For the fake of that cloud. */
  readonly fakeCloudFlags?: readonly string[];
  /** Added to the guest's environment. */
  readonly guestEnv?: Readonly<Record<string, string>>;
}

const ip = (...args: string[]): string => execFileSync("ip", args, { encoding: "utf8" });

/**
 * A node: machine room, shim-proxy and control planes as processes of their own, in the network namespace of the caller (as
 * root the caller has made one for this node alone).
 */
export class TestNode implements AsyncDisposable {
  readonly dir: string;
  readonly shim: PlayedShim;
  readonly options: TestNodeOptions;
  readonly children: Child[] = [];
  #pods = 0;
  #fakeCloud: FakeCloud | undefined;

  constructor(options: TestNodeOptions) {
    this.options = options;
    this.dir = mkdtempSync("/tmp/ppn-");
    for (const name of ["run", "state", "images", "log"]) mkdirSync(join(this.dir, name));
    this.shim = new PlayedShim(this.hypervisorSocket);
    this.#writeGuestImage();
  }

  get runDir(): string {
    return join(this.dir, "run");
  }

  get podsDir(): string {
    return join(this.runDir, "pods");
  }

  get stateDir(): string {
    return join(this.dir, "state");
  }

  /** Folder of OCI layouts that stands for the registry in the VMs. */
  get imagesDir(): string {
    return join(this.dir, "images");
  }

  get hypervisorSocket(): string {
    return join(this.runDir, "hypervisor.sock");
  }

  get #provider(): string {
    return this.options.provider ?? "mock";
  }

  get #cloudSocket(): string {
    return join(this.dir, "cloud.sock");
  }

  /** The VM's image: our guest, told where its images are (the stock VM would pull them). */
  #writeGuestImage(): void {
    const env = { PEERPOD_GUEST_IMAGES: this.imagesDir, ...this.options.guestEnv };
    const exports = Object.entries(env).map(([key, value]) => `export ${key}='${value}'`);
    const guest = guestScript();
    const command = `exec '${process.execPath}' --disable-warning=ExperimentalWarning '${guest}'`;
    writeFileSync(join(this.dir, "guest.sh"), ["#!/bin/sh", ...exports, command, ""].join("\n"), {
      mode: 0o755,
    });
  }

  async startMachineRoom(): Promise<Child> {
    const child = this.#start("mock-cloud", [
      "mock-cloud",
      `-socket=${this.#cloudSocket}`,
      `-instance=${this.dir.replace(/^.*\//, "").toLowerCase()}`,
      `-image=${join(this.dir, "guest.sh")}`,
      ...(this.options.machineRoomFlags ?? []),
    ]);
    await this.#listening(child, this.#cloudSocket);
    if (this.options.root) this.#defaultRoute();
    if (this.#provider !== "mock") {
      this.#fakeCloud ??= await startFakeCloud(this.#provider, {
        dir: this.dir,
        machineRoom: this.#cloudSocket,
        flags: this.options.fakeCloudFlags ?? [],
      });
    }
    return child;
  }

  /** Provider `kvm` needs no machine room: the node has a network, and its VMs are behind a bridge of their own. */
  makeUplink(): void {
    if (ip("-o", "link").includes("uplink0:")) return;
    ip("link", "add", "uplink0", "type", "bridge");
    ip("address", "add", `${UPLINK_ADDRESS}/24`, "dev", "uplink0");
    ip("link", "set", "uplink0", "up");
    ip("route", "add", "default", "via", UPLINK_GATEWAY, "dev", "uplink0");
  }

  /** Where provider `kvm` keeps its VMs. */
  get kvmDir(): string {
    return join(this.dir, "kvm");
  }

  /** The bridge of the machine room is the node's network. */
  #defaultRoute(): void {
    if (ip("route", "show", "default").trim() === "")
      ip("route", "add", "default", "via", "10.77.0.254", "dev", "ppmock0");
  }

  /** Ends the fake cloud, if there is one; its VMs go on in the machine room. */
  async endFakeCloud(): Promise<void> {
    const child = this.#fakeCloud?.process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  async startShimProxy(): Promise<Child> {
    const child = this.#start("shim-proxy", [
      "shim-proxy",
      `-socket=${this.hypervisorSocket}`,
      "-log-level=debug",
      ...(this.options.proxyFlags ?? []),
    ]);
    await this.#listening(child, this.hypervisorSocket);
    return child;
  }

  /** Starts a control plane; it serves as soon as it can, calls wait for it. */
  startControlPlane(flags: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Child {
    const adaptorFlags = [
      `-socket=${this.hypervisorSocket}`,
      `-pods-dir=${this.podsDir}`,
      `-state-dir=${this.stateDir}`,
      ...this.#providerFlags(),
      `-peerpods-limit-per-node=${this.options.limit ?? 10}`,
      "-shim-proxy=external",
      "-log-level=debug",
      ...(this.options.adaptorFlags ?? []),
      ...flags,
    ];
    return this.#start("adaptor", [this.#provider, ...adaptorFlags], {
      CLUSTER_ID: "test-cluster",
      ...this.#fakeCloud?.env,
      ...env,
    });
  }

  #providerFlags(): readonly string[] {
    if (this.#provider === "mock") return [`-mock-cloud-socket=${this.#cloudSocket}`];
    if (this.#provider !== "kvm") return [];
    return [`-kvm-dir=${this.kvmDir}`, `-kvm-image=${this.options.kvmImage ?? ""}`];
  }

  #start(name: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Child {
    const child = new Child(name, join(this.dir, "log", `${name}.log`), args, env);
    this.children.push(child);
    return child;
  }

  async #listening(child: Child, socket: string): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!(existsSync(socket) && (await accepts(socket)))) {
      if (!child.running)
        throw new Error(`${child.name} ended before it listened:\n${child.log().slice(-3000)}`);
      if (performance.now() > deadline)
        throw new Error(`${child.name} does not listen:\n${child.log().slice(-3000)}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Makes a pod's network namespace as the bridge CNI plugin does. */
  addPodNetwork(name: string): PodNetwork {
    if (!this.options.root) return { netns: `/run/netns/${name}`, ip: "127.0.0.1", mac: "" };
    const n = ++this.#pods;
    if (!ip("-o", "link").includes("cni0:")) {
      ip("link", "add", "cni0", "type", "bridge");
      ip("addr", "add", "10.88.0.1/16", "dev", "cni0");
      ip("link", "set", "cni0", "up");
    }
    const address = `10.88.${(n + 4) >> 8}.${(n + 4) & 255}`;
    ip("netns", "add", name);
    ip("link", "add", `veth${n}`, "type", "veth", "peer", "name", "eth0", "netns", name);
    ip("link", "set", `veth${n}`, "master", "cni0", "up");
    ip("-n", name, "link", "set", "lo", "up");
    ip("-n", name, "addr", "add", `${address}/16`, "dev", "eth0");
    ip("-n", name, "link", "set", "eth0", "up");
    ip("-n", name, "route", "add", "default", "via", "10.88.0.1");
    const mac = /link\/ether (\S+)/.exec(ip("-n", name, "link", "show", "eth0"))?.[1] ?? "";
    return { netns: `/run/netns/${name}`, ip: address, mac };
  }

  /** As the CNI plugin's DEL. */
  removePodNetwork(name: string): void {
    if (this.options.root) ip("netns", "del", name);
  }

  /** The newest lines of all processes, for a person who looks into a failure. */
  logs(bytes = 4000): string {
    const names = [...new Set(this.children.map((child) => child.logPath))];
    return names
      .map(
        (path) =>
          `--- ${path}\n${this.children
            .find((c) => c.logPath === path)
            ?.log()
            .slice(-bytes)}`,
      )
      .join("\n");
  }

  /** What VMs of provider `kvm` have said. */
  vmConsoles(): string {
    return globSync(join(this.kvmDir, "vms/*/{serial,qemu}.log"))
      .map((path) => `--- ${path}\n${readFileSync(path, "utf8").slice(-4000)}`)
      .join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const last = (name: string): Child[] => this.children.filter((child) => child.name === name);
    for (const child of [...last("adaptor"), ...last("shim-proxy")]) await child.kill("SIGKILL");
    await this.endFakeCloud();
    for (const child of last("mock-cloud")) await child.kill("SIGTERM");
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
