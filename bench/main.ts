// `make bench`: what the way through our shim-proxy and adaptor costs, against talking to the agent directly and, where GO_ADAPTOR
// names one, against another adaptor in the same run. Figures are medians of measurements taken in turns.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import { ROOT } from "../test/node/child.ts";
import { isInside, isRoot, prepareNamespaces, rerunInNamespaces } from "../test/node/namespaces.ts";
import { TestNode } from "../test/node/test-node.ts";
import { type Adaptor, Starter } from "./adaptors.ts";
import { cloudCallRows, measureCloudCalls } from "./cloud-calls.ts";
import { CHECK, directClient, forwarderClient, measureDataPlane, type Way } from "./data-plane.ts";
import { measureBursts, measureCreate, measureStart } from "./lifecycle.ts";
import { scriptedCloud } from "./other-cloud.ts";
import { machineFacts, otherAdaptor, writeImage } from "./peers.ts";
import { BenchPod, PodNetworks } from "./pods.ts";
import { type Memory, Process, privateProgram } from "./processes.ts";
import type { RawClient } from "./raw-client.ts";
import { meets, type Row, table } from "./report.ts";
import { RoomApi } from "./room-api.ts";
import { dataPlaneRows, lifecycleRows, memoryRows, startUpRows } from "./rows.ts";
import { measureStartUp } from "./start-up.ts";

const QUICK = process.env["BENCH_QUICK"] === "1";
const JSON_FILE = process.env["BENCH_JSON"] ?? "";
/** A real kata-agent to measure with instead of the stub. */
const AGENT = process.env["BENCH_AGENT"] ?? "";
/** Sections to run, by name; all when empty. */
const ONLY: readonly string[] = (process.env["BENCH_ONLY"] ?? "").split(",").filter((name) => name !== "");

const EFFORT = QUICK
  ? {
      dataPlane: { rounds: 2, checks: 200, rateMs: 200, chunks: 16 },
      creates: 5,
      starts: 3,
      bursts: 1,
      startUps: 3,
    }
  : {
      dataPlane: { rounds: 7, checks: 1000, rateMs: 500, chunks: 60 },
      creates: 60,
      starts: 15,
      bursts: 3,
      startUps: 15,
    };

const wants = (section: string): boolean => ONLY.length === 0 || ONLY.includes(section);
const note = (text: string): void => console.log(`  ${text}`);

async function bench(): Promise<number> {
  if (isRoot) prepareNamespaces();
  else
    note(
      "not root: VMs are plain processes on loopback, there are no tunnels, and the peer is our own forwarder",
    );
  const loadBefore = loadavg()[0] ?? 0;
  await using stack = new AsyncDisposableStack();
  const roomFlags: string[] = [];
  const node = stack.use(new TestNode({ root: isRoot, machineRoomFlags: roomFlags }));
  const agentSocket = join(node.dir, "agent.sock");
  const peer = writeImage(node.dir, { peersDir: process.env["PEERS_DIR"] ?? "", agentSocket, root: isRoot });
  // After the image that the node has written for itself: the last one counts.
  roomFlags.push(`-image=${peer.image}`);
  const peerName =
    AGENT === "" || !peer.stock ? peer.name : "stock agent-protocol-forwarder, kata-agent behind it";
  note(`in the pod VMs: ${peerName}`);
  const results = await measureAll(stack, { node, agentSocket });
  const facts = {
    date: new Date().toISOString(),
    machine: { cores: availableParallelism(), ...machineFacts() },
    root: isRoot,
    quick: QUICK,
    peer: peerName,
    other: process.env["GO_ADAPTOR"] ?? "",
    load: { before: loadBefore, after: loadavg()[0] ?? 0 },
  };
  print(facts, results.rows);
  if (JSON_FILE !== "")
    writeFileSync(
      JSON_FILE,
      `${JSON.stringify({ ...facts, rows: results.rows, detail: results.detail }, null, 1)}\n`,
    );
  return 0;
}

interface Results {
  readonly rows: readonly Row[];
  /** What the rows were made from, as far as it is more than they say. */
  readonly detail: Readonly<Record<string, unknown>>;
}

async function measureAll(
  stack: AsyncDisposableStack,
  { node, agentSocket }: { readonly node: TestNode; readonly agentSocket: string },
): Promise<Results> {
  await node.startMachineRoom();
  const agent = startAgent(node, agentSocket);
  stack.defer(() => agent.kill());
  await agent.listensOn(agentSocket);
  if (isRoot) {
    // A socket cannot be dialled through the overlay of a VM's root, but through a mount of its own.
    execFileSync("mount", ["--bind", agentSocket, agentSocket]);
    stack.defer(() => {
      execFileSync("umount", ["-l", agentSocket]);
    });
  }
  const room = new RoomApi(join(node.dir, "cloud.sock"));
  const starter = new Starter(node, privateProgram(node.dir), otherCloud(stack, node, room));
  const rows: Row[] = [];
  const detail: Record<string, unknown> = {};
  if (wants("start-up")) {
    note("start-up");
    const startUp = await measureStartUp(starter, EFFORT.startUps);
    rows.push(...startUpRows(startUp));
    detail["startUpMs"] = Object.fromEntries(startUp);
  }
  const ours = await starter.ours();
  stack.defer(() => ours.kill());
  const adaptors: Adaptor[] = [ours];
  if (starter.hasOther) {
    const other = await starter.other();
    stack.defer(() => other.kill());
    adaptors.push(other);
  }
  const networks = new PodNetworks(node);
  const empty = new Map<Adaptor["name"], Memory>(adaptors.map((one) => [one.name, one.memory()]));
  detail["memoryAt0"] = ours.memoryByProcess();
  if (wants("data-plane")) {
    const figures = await dataPlane(adaptors, { ours, agentSocket, networks });
    rows.unshift(...dataPlaneRows(figures));
    detail["dataPlane"] = Object.fromEntries(figures);
  }
  if (wants("lifecycle")) {
    note("CreateVM, one at a time");
    const create = await measureCreate(adaptors, networks, EFFORT.creates);
    note("StartVM, one at a time");
    const start = await measureStart(adaptors, { networks, room }, EFFORT.starts);
    note("20 pods, one after another and at once");
    const onFull = (adaptor: Adaptor): void => {
      if (adaptor === ours) detail["memoryAt20"] = ours.memoryByProcess();
    };
    const rounds = await measureBursts(adaptors, networks, { rounds: EFFORT.bursts, onFull });
    rows.push(...lifecycleRows({ create, start, rounds }));
    const last = [...rounds].flatMap(([name, all]) =>
      all.slice(-1).map(({ memory }) => [name, memory] as const),
    );
    rows.push(...memoryRows(empty, new Map(last)));
    detail["lifecycle"] = {
      createMs: Object.fromEntries(create),
      start: Object.fromEntries(start),
      rounds: Object.fromEntries(rounds),
    };
  }
  if (wants("cloud-calls")) {
    note("calls of the clouds' APIs, against the fakes");
    const calls = await measureCloudCalls();
    rows.push(...cloudCallRows(calls));
    detail["cloudCalls"] = calls;
  }
  return { rows, detail };
}

/** The agent that all VMs share: the stub, or with BENCH_AGENT a kata-agent (as root: it wants to own /run). */
function startAgent(node: TestNode, socket: string): Process {
  const logPath = join(node.dir, "log/agent.log");
  if (AGENT === "")
    return new Process("stub agent", {
      argv: [process.execPath, join(ROOT, "bench/stub-agent.ts"), socket],
      logPath,
    });
  const config = join(node.dir, "agent.toml");
  writeFileSync(config, `server_addr = "unix://${socket}"\nguest_components_procs = "none"\n`);
  return new Process("kata-agent", { argv: [AGENT, "--config", config], logPath });
}

/** The other adaptor's command and the cloud for it; says why when there is none. */
function otherCloud(
  stack: AsyncDisposableStack,
  node: TestNode,
  room: RoomApi,
): ConstructorParameters<typeof Starter>[2] {
  const command = otherAdaptor(process.env);
  if (command === undefined || typeof command === "string" || !isRoot) {
    note(
      `no other adaptor beside ours: ${typeof command === "string" ? command : why(command !== undefined)}`,
    );
    return undefined;
  }
  const cloud = scriptedCloud(join(node.dir, "script"), room);
  stack.defer(() => cloud.close());
  note(`other adaptor: ${command.command}`);
  return { command, script: cloud.script };
}

const why = (given: boolean): string =>
  given ? "it needs root" : "GO_ADAPTOR does not name one (its provider: GO_ADAPTOR_ARGS)";

/** Two pods at most: one of ours, through which the forwarder is reached too, and one of the other adaptor. */
async function dataPlane(
  adaptors: readonly Adaptor[],
  given: {
    readonly ours: Awaited<ReturnType<Starter["ours"]>>;
    readonly agentSocket: string;
    readonly networks: PodNetworks;
  },
): ReturnType<typeof measureDataPlane> {
  const clients = new Map<Way, RawClient>();
  const pods: BenchPod[] = [];
  clients.set("direct", await directClient(given.agentSocket));
  for (const adaptor of adaptors) {
    const pod = new BenchPod(adaptor, given.networks.get(adaptor, 0));
    await pod.ready(CHECK);
    pods.push(pod);
    if (adaptor === given.ours) clients.set("forwarder", await forwarderClient(given.ours.vmKeys(pod.id)));
    clients.set(adaptor.name, await pod.connect());
  }
  const figures = await measureDataPlane(clients, EFFORT.dataPlane, note);
  for (const client of clients.values()) client[Symbol.dispose]();
  for (const pod of pods) await pod.stop();
  return figures;
}

function print(facts: Readonly<Record<string, unknown>>, rows: readonly Row[]): void {
  console.log(
    `\n${table(
      rows,
      rows.some((row) => row.values.other !== undefined),
    )}\n`,
  );
  console.log(JSON.stringify(facts));
  const missed = rows.filter((row) => meets(row) === false);
  const counted = rows.filter((row) => meets(row) !== undefined);
  console.log(`${counted.length - missed.length} of ${counted.length} targets met`);
  for (const row of missed) console.log(`target missed: ${row.what}`);
}

if (isRoot && !isInside) process.exit(rerunInNamespaces(import.meta.filename, process.argv.slice(2)));
process.exit(await bench());
