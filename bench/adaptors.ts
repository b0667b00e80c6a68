import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { HypervisorDefinition } from "../src/gen/hypervisor/hypervisor.ts";
import { createClient, TtrpcClient } from "../src/ttrpc/index.ts";
import type { TestNode } from "../test/node/test-node.ts";
import { dial, PlayedShim } from "../test/shim/played-shim.ts";
import type { OtherAdaptor } from "./peers.ts";
import { type Cpu, cpuOf, type Memory, memoryOf, Process } from "./processes.ts";

/** Most pods at once, with room for what is being deleted, unless a site says otherwise. */
const LIMIT = 64;
/** Two adaptors on one node: each has VXLAN ids of its own. */
const FIRST_VXLAN_ID = { ours: 555_000, other: 565_000 } as const;

/** What is measured: an adaptor that serves hypervisor.sock. */
export interface Adaptor {
  readonly name: "ours" | "other";
  readonly shim: PlayedShim;
  memory(): Memory;
  /** Used since the start of all processes. */
  cpu(): Cpu;
  kill(): Promise<void>;
}

/** Where an adaptor keeps its things. */
export interface Place {
  readonly dir: string;
  readonly socket: string;
}

/** Short names: a pod's agent socket is below it, and the path of a socket has 107 bytes at most. */
function newPlace(node: TestNode, name: string): Place {
  for (let n = 1; ; n++) {
    const dir = join(node.dir, `${name}${n}`);
    if (existsSync(dir)) continue;
    mkdirSync(dir);
    return { dir, socket: join(dir, "hypervisor.sock") };
  }
}

/** What adaptors are started with. */
export interface Site {
  /** Folders of adaptors are made in it. */
  readonly node: TestNode;
  readonly program: string;
  readonly other: { readonly command: OtherAdaptor; readonly script: string } | undefined;
  /** Of the machine room; by default the node's own. */
  readonly cloudSocket?: string;
  /** For ours, another provider than the mock cloud's, with what it needs to know in its environment. */
  readonly cloud?: { readonly provider: string; readonly env: Readonly<Record<string, string>> };
  readonly limit?: number;
}

/** Starts the adaptors of one bench, each time in a folder of its own. */
export class Starter {
  readonly #site: Site;

  constructor(site: Site) {
    this.#site = site;
  }

  get #limit(): number {
    return this.#site.limit ?? LIMIT;
  }

  /** Whether there is another one. */
  get hasOther(): boolean {
    return this.#site.other !== undefined;
  }

  /** The script that stands for the cloud of the other one. */
  get script(): string | undefined {
    return this.#site.other?.script;
  }

  place(name: string): Place {
    return newPlace(this.#site.node, name);
  }

  shimProxy(place: Place): Process {
    return new Process("shim-proxy", {
      argv: [this.#site.program, "shim-proxy", `-socket=${place.socket}`],
      logPath: join(place.dir, "shim-proxy.log"),
    });
  }

  controlPlane(place: Place): Process {
    const { cloud } = this.#site;
    const flags = [
      `-socket=${place.socket}`,
      `-pods-dir=${join(place.dir, "pods")}`,
      `-state-dir=${stateDir(place)}`,
      ...(cloud === undefined
        ? [`-mock-cloud-socket=${this.#site.cloudSocket ?? join(this.#site.node.dir, "cloud.sock")}`]
        : []),
      `-peerpods-limit-per-node=${this.#limit}`,
      `-vxlan-min-id=${FIRST_VXLAN_ID.ours}`,
      "-shim-proxy=external",
    ];
    return new Process("adaptor", {
      argv: [this.#site.program, cloud?.provider ?? "mock", ...flags],
      logPath: join(place.dir, "adaptor.log"),
      // The other adaptor's probe port is not to be chosen.
      env: { CLUSTER_ID: "bench", PROBE_PORT: "18000", ...cloud?.env },
    });
  }

  otherProcess(place: Place): Process {
    if (this.#site.other === undefined) throw new Error("there is no other adaptor");
    const { command, script } = this.#site.other;
    const flags = [
      "-socket",
      place.socket,
      "-pods-dir",
      join(place.dir, "pods"),
      "-peerpods-limit-per-node",
      `${this.#limit}`,
      "-vxlan-min-id",
      `${FIRST_VXLAN_ID.other}`,
    ];
    return new Process("other adaptor", {
      argv: [command.command, ...command.args.map((arg) => arg.replace("{script}", script)), ...flags],
      logPath: join(place.dir, "other.log"),
    });
  }

  /** Both of our processes, serving. */
  async ours(): Promise<OurAdaptor> {
    const place = this.place("a");
    const proxy = this.shimProxy(place);
    const control = this.controlPlane(place);
    await control.until("serves", () => serves(place.socket));
    return new OurAdaptor(place, [proxy, control]);
  }

  /** The other adaptor, serving. */
  async other(): Promise<Adaptor> {
    const place = this.place("b");
    const process = this.otherProcess(place);
    await process.until("serves", () => serves(place.socket));
    return {
      name: "other",
      shim: new PlayedShim(place.socket),
      memory: () => memoryOf([process.pid]),
      cpu: () => cpuOf([process]),
      kill: () => process.kill(),
    };
  }
}

const stateDir = (place: Place): string => join(place.dir, "state");

/** Keys of the connection between the node and a pod's VM. */
export interface VmKeys {
  readonly address: string;
  readonly serverName: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Our shim-proxy and control plane. */
export class OurAdaptor implements Adaptor {
  readonly name = "ours";
  readonly shim: PlayedShim;
  readonly #place: Place;
  readonly #processes: readonly Process[];

  constructor(place: Place, processes: readonly Process[]) {
    this.#place = place;
    this.#processes = processes;
    this.shim = new PlayedShim(place.socket);
  }

  memory(): Memory {
    return memoryOf(this.#processes.map((process) => process.pid));
  }

  cpu(): Cpu {
    return cpuOf(this.#processes);
  }

  /** Of each process, by name. */
  memoryByProcess(): Readonly<Record<string, Memory>> {
    return Object.fromEntries(this.#processes.map(({ name, pid }) => [name, memoryOf([pid])]));
  }

  async kill(): Promise<void> {
    for (const process of [...this.#processes].reverse()) await process.kill();
  }

  /** Looks into the journal, so that the bench can be a second client of the same VM. */
  vmKeys(sandboxId: string): VmKeys {
    const db = new DatabaseSync(join(stateDir(this.#place), "journal.db"), { readOnly: true });
    const row = db
      .prepare(
        `SELECT server_name AS serverName, ca_pem AS ca, client_cert_pem AS cert, client_key_pem AS "key", vms.addresses_json AS addresses
         FROM sandboxes JOIN vms ON vms.name = sandboxes.vm_name WHERE id = ?`,
      )
      .get(sandboxId);
    db.close();
    const text = (name: string): string => String(row?.[name] ?? "");
    const [address] = JSON.parse(text("addresses"));
    return {
      address: String(address),
      serverName: text("serverName"),
      ca: text("ca"),
      cert: text("cert"),
      key: text("key"),
    };
  }
}

/** Whether the hypervisor service answers, not only listens. */
export async function serves(socket: string): Promise<boolean> {
  await using client = new TtrpcClient(await dial(socket));
  await createClient(HypervisorDefinition, client).version({ version: "0.0.0" }, { timeoutMs: 5_000 });
  return true;
}
