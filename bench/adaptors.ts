import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { HypervisorDefinition } from "../src/gen/hypervisor/hypervisor.ts";
import { createClient, TtrpcClient } from "../src/ttrpc/index.ts";
import type { TestNode } from "../test/node/test-node.ts";
import { dial, PlayedShim } from "../test/shim/played-shim.ts";
import type { OtherAdaptor } from "./peers.ts";
import { type Memory, memoryOf, Process } from "./processes.ts";

/** Most pods at once, with room for what is being deleted. */
const LIMIT = 64;
/** Two adaptors on one node: each has VXLAN ids of its own. */
const FIRST_VXLAN_ID = { ours: 555_000, other: 565_000 } as const;

/** What is measured: an adaptor that serves hypervisor.sock. */
export interface Adaptor {
  readonly name: "ours" | "other";
  readonly shim: PlayedShim;
  memory(): Memory;
  kill(): Promise<void>;
}

/** Where an adaptor keeps its things. */
export interface Place {
  readonly dir: string;
  readonly socket: string;
}

function newPlace(node: TestNode, name: string): Place {
  const dir = join(node.dir, name);
  mkdirSync(dir);
  return { dir, socket: join(dir, "hypervisor.sock") };
}

/** Starts the adaptors of one bench, each time in a folder of its own. */
export class Starter {
  readonly #node: TestNode;
  readonly #program: string;
  readonly #other: { readonly command: OtherAdaptor; readonly script: string } | undefined;
  #places = 0;

  constructor(
    node: TestNode,
    program: string,
    other: { readonly command: OtherAdaptor; readonly script: string } | undefined,
  ) {
    this.#node = node;
    this.#program = program;
    this.#other = other;
  }

  /** Whether there is another one. */
  get hasOther(): boolean {
    return this.#other !== undefined;
  }

  place(name: string): Place {
    return newPlace(this.#node, `${name}${++this.#places}`);
  }

  shimProxy(place: Place): Process {
    return new Process("shim-proxy", {
      argv: [this.#program, "shim-proxy", `-socket=${place.socket}`],
      logPath: join(place.dir, "shim-proxy.log"),
    });
  }

  controlPlane(place: Place): Process {
    const flags = [
      `-socket=${place.socket}`,
      `-pods-dir=${join(place.dir, "pods")}`,
      `-state-dir=${stateDir(place)}`,
      `-mock-cloud-socket=${join(this.#node.dir, "cloud.sock")}`,
      `-peerpods-limit-per-node=${LIMIT}`,
      `-vxlan-min-id=${FIRST_VXLAN_ID.ours}`,
      "-shim-proxy=external",
    ];
    return new Process("adaptor", {
      argv: [this.#program, "mock", ...flags],
      logPath: join(place.dir, "adaptor.log"),
      // The other adaptor's probe port is not to be chosen.
      env: { CLUSTER_ID: "bench", PROBE_PORT: "18000" },
    });
  }

  otherProcess(place: Place): Process {
    if (this.#other === undefined) throw new Error("there is no other adaptor");
    const { command, script } = this.#other;
    const flags = [
      "-socket",
      place.socket,
      "-pods-dir",
      join(place.dir, "pods"),
      "-peerpods-limit-per-node",
      `${LIMIT}`,
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
