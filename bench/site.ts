import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../test/node/child.ts";
import { isRoot } from "../test/node/namespaces.ts";
import { TestNode } from "../test/node/test-node.ts";
import { type Adaptor, type Site as AdaptorSite, type OurAdaptor, Starter } from "./adaptors.ts";
import { scriptedCloud } from "./other-cloud.ts";
import { writeImage } from "./peers.ts";
import type { Plot } from "./plot.ts";
import { PodNetworks } from "./pods.ts";
import { type Memory, Process, privateProgram } from "./processes.ts";
import type { Row } from "./report.ts";
import { RoomApi } from "./room-api.ts";
import type { Settings } from "./settings.ts";

/** What a section brings. */
export interface Outcome {
  readonly rows: readonly Row[];
  /** What the rows were made from, as far as it is more than they say. */
  readonly detail: Readonly<Record<string, unknown>>;
  /** By name. */
  readonly charts?: Readonly<Record<string, Plot>>;
  /** Other tables than that of the rows, for documents, by name. */
  readonly tables?: Readonly<Record<string, string>>;
}

/** Adaptors on the node's machine room that several sections use, one after another. */
export interface SharedAdaptors {
  readonly ours: OurAdaptor;
  /** Ours, and the other one where there is one. */
  readonly all: readonly Adaptor[];
  /** Right after their start. */
  readonly emptyMemory: ReadonlyMap<Adaptor["name"], Memory>;
  readonly emptyByProcess: Readonly<Record<string, Memory>>;
}

/** What all sections share: a node with a machine room, and an agent that all its VMs share. */
export class Site implements AsyncDisposable {
  readonly settings: Settings;
  readonly note: (text: string) => void;
  readonly node: TestNode;
  readonly program: string;
  /** For the report: what stands in the pod VMs. */
  readonly peerName: string;
  readonly agentSocket: string;
  readonly networks: PodNetworks;
  /** What the shared adaptors have gone through. */
  readonly traffic: string[] = [];
  readonly #stack = new AsyncDisposableStack();
  #shared: SharedAdaptors | undefined;
  #ownStarter: Starter | undefined;

  private constructor(settings: Settings, note: (text: string) => void) {
    this.settings = settings;
    this.note = note;
    const roomFlags: string[] = [];
    this.node = this.#stack.use(new TestNode({ root: isRoot, machineRoomFlags: roomFlags }));
    this.agentSocket = join(this.node.dir, "agent.sock");
    const { peersDir } = settings;
    const peer = writeImage(this.node.dir, { peersDir, agentSocket: this.agentSocket, root: isRoot });
    // After the image that the node has written for itself: the last one counts.
    roomFlags.push(`-image=${peer.image}`);
    const isReal = settings.agent !== "" && peer.stock;
    this.peerName = isReal ? "stock agent-protocol-forwarder, kata-agent behind it" : peer.name;
    this.program = privateProgram(this.node.dir);
    this.networks = new PodNetworks(this.node);
  }

  static async open(settings: Settings, note: (text: string) => void): Promise<Site> {
    const site = new Site(settings, note);
    try {
      await site.#open();
      return site;
    } catch (error) {
      await site[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #open(): Promise<void> {
    await this.node.startMachineRoom();
    const agent = startAgent(this.node, { socket: this.agentSocket, agent: this.settings.agent });
    this.#stack.defer(() => agent.kill());
    await agent.listensOn(this.agentSocket);
    if (!isRoot) return;
    // A socket cannot be dialled through the overlay of a VM's root, but through a mount of its own.
    execFileSync("mount", ["--bind", this.agentSocket, this.agentSocket]);
    this.#stack.defer(() => {
      execFileSync("umount", ["-l", this.agentSocket]);
    });
  }

  get room(): RoomApi {
    return new RoomApi(join(this.node.dir, "cloud.sock"));
  }

  /** Whether another adaptor is measured beside ours. */
  get hasOther(): boolean {
    return isRoot && typeof this.settings.other === "object";
  }

  /**
   * Starts adaptors that use the machine room behind `cloudSocket`; `name` is that of the folder for the other one's script. What it
   * opens is closed with `stack`.
   */
  starter(
    stack: AsyncDisposableStack,
    room: { readonly name: string; readonly cloudSocket: string } & Pick<AdaptorSite, "limit" | "cloud">,
  ): Starter {
    const { other } = this.settings;
    const site = { node: this.node, program: this.program, ...room };
    if (!this.hasOther || typeof other !== "object") return new Starter({ ...site, other: undefined });
    const cloud = scriptedCloud(join(this.node.dir, room.name), new RoomApi(room.cloudSocket));
    stack.defer(() => cloud.close());
    return new Starter({ ...site, other: { command: other, script: cloud.script } });
  }

  /** On the node's own machine room. */
  get ownStarter(): Starter {
    this.#ownStarter ??= this.starter(this.#stack, {
      name: "script",
      cloudSocket: join(this.node.dir, "cloud.sock"),
    });
    return this.#ownStarter;
  }

  /** Started when first asked for. */
  async adaptors(): Promise<SharedAdaptors> {
    if (this.#shared !== undefined) return this.#shared;
    const starter = this.ownStarter;
    const ours = await starter.ours();
    this.#stack.defer(() => ours.kill());
    const all: Adaptor[] = [ours];
    if (starter.hasOther) {
      const other = await starter.other();
      this.#stack.defer(() => other.kill());
      all.push(other);
    }
    const emptyMemory = new Map(all.map((one) => [one.name, one.memory()] as const));
    this.#shared = { ours, all, emptyMemory, emptyByProcess: ours.memoryByProcess() };
    return this.#shared;
  }

  /** Whoever asks next gets new ones. */
  async endAdaptors(): Promise<void> {
    for (const one of this.#shared?.all ?? []) await one.kill();
    this.#shared = undefined;
    this.traffic.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** The agent that all VMs share: the stub, or a kata-agent (as root: it wants to own /run). */
function startAgent(
  node: TestNode,
  { socket, agent }: { readonly socket: string; readonly agent: string },
): Process {
  const logPath = join(node.dir, "log/agent.log");
  if (agent === "")
    return new Process("stub agent", {
      argv: [process.execPath, join(ROOT, "bench/stub-agent.ts"), socket],
      logPath,
    });
  const config = join(node.dir, "agent.toml");
  writeFileSync(config, `server_addr = "unix://${socket}"\nguest_components_procs = "none"\n`);
  return new Process("kata-agent", { argv: [agent, "--config", config], logPath });
}
