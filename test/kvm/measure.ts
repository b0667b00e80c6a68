// `make measure-kvm`: pods in real machines, measured: boot and ready times, memory, what the tunnel costs, and a burst.
//   --pods=N   pods of the burst; default 10
import { globSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { isInside, isRoot, prepareNamespaces, rerunInNamespaces } from "../node/namespaces.ts";
import { type PodNetwork, TestNode } from "../node/test-node.ts";
import { CONTAINER_IMAGE } from "../podvm-image/guest-files.ts";
import { PlayedPod } from "../shim/played-pod.ts";
import { providePodVmImage, provideQemu } from "./prepare.ts";
import { kvmProcesses } from "./residue.ts";

const ALONE = 3;
const CONNECTS = 100;
const POD_PORT = 8080;
const FORWARDER_PORT = 15150;

const { values: options } = parseArgs({ options: { pods: { type: "string", default: "10" } } });
if (!isInside) {
  const reason = provideQemu();
  if (reason !== undefined || !isRoot) {
    console.error(`pods in real machines: ${reason ?? "needs root"}`);
    process.exit(2);
  }
  providePodVmImage();
  process.exit(rerunInNamespaces(import.meta.filename, process.argv.slice(2)));
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const say = (what: string, value: string): void => console.log(`${what.padEnd(58)}${value}`);

interface Started {
  readonly pod: PlayedPod;
  readonly network: PodNetwork;
  readonly name: string;
  /** StartVM's answer: the VM's forwarder accepts. */
  readonly startedMs: number;
  /** Sandbox and pause container are there. */
  readonly readyMs: number;
}

async function startPod(node: TestNode, name: string): Promise<Started> {
  const network = node.addPodNetwork(name);
  const pod = new PlayedPod(node.shim, { name, namespace: "measure" }, network.netns);
  const begun = performance.now();
  await pod.create();
  await pod.start();
  const startedMs = performance.now() - begun;
  await pod.openSandbox();
  return { pod, network, name, startedMs, readyMs: performance.now() - begun };
}

async function stopPod(node: TestNode, { pod, name }: Started): Promise<number> {
  const begun = performance.now();
  await pod.stop();
  node.removePodNetwork(name);
  return performance.now() - begun;
}

/** The address that the provider gave to the VM of a pod. */
function addressOf(node: TestNode, pod: string): string {
  const [path = ""] = globSync(join(node.kvmDir, `vms/podvm-${pod}-*/addresses`));
  return readFileSync(path, "utf8").trim();
}

/** MiB of each QEMU that are its own (PSS). */
function memoryOfVms(node: TestNode): readonly number[] {
  return kvmProcesses(node.kvmDir)
    .filter(({ name }) => name.includes("qemu"))
    .map(({ pid }) => {
      const kib = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
      return Number(kib) / 1024;
    });
}

/** Milliseconds until a connection stands: a packet there and one back. */
function connectMs(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const socket = connect({ host, port });
    socket.once("connect", () => {
      resolve(performance.now() - begun);
      socket.destroy();
    });
    socket.once("error", reject);
  });
}

async function connectMedian(host: string, port: number): Promise<number> {
  const found: number[] = [];
  for (let n = 0; n < CONNECTS; n++) found.push(await connectMs(host, port));
  return median(found);
}

/** The way to the VM itself, and the way to the pod in it: through the tunnel, and a redirect at its end on the node. */
async function tunnelCost({ pod, network }: Started, vmAddress: string): Promise<void> {
  await pod.startContainer({
    image: CONTAINER_IMAGE,
    args: ["nc", "-ll", "-p", `${POD_PORT}`, "-e", "true"],
  });
  for (;;) {
    try {
      await connectMs(network.ip, POD_PORT);
      break;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ECONNREFUSED")) throw error;
    }
  }
  const [direct, through] = [
    await connectMedian(vmAddress, FORWARDER_PORT),
    await connectMedian(network.ip, POD_PORT),
  ];
  say(`TCP connect to the VM, median of ${CONNECTS}`, `${direct.toFixed(2)} ms`);
  say(`TCP connect to the pod, through the tunnel`, `${through.toFixed(2)} ms`);
}

async function measure(pods: number): Promise<void> {
  await using node = new TestNode({
    root: true,
    limit: pods + 1,
    provider: "kvm",
    kvmImage: providePodVmImage(),
    adaptorFlags: ["-proxy-timeout=15m"],
  });
  node.makeUplink();
  await node.startShimProxy();
  const control = node.startControlPlane();
  say(
    "load before",
    loadavg()
      .map((load) => load.toFixed(1))
      .join(" "),
  );
  const alone: Started[] = [];
  const stops: number[] = [];
  for (let n = 0; n < ALONE; n++) {
    const started = await startPod(node, `alone-${n}`);
    alone.push(started);
    if (n === ALONE - 1) {
      await tunnelCost(started, addressOf(node, started.name));
      say("memory of a QEMU whose VM has 2048 MiB (PSS)", `${memoryOfVms(node)[0]?.toFixed(0)} MiB`);
    }
    stops.push(await stopPod(node, started));
  }
  say(
    `CreateVM to StartVM's answer, one at a time, median of ${ALONE}`,
    seconds(median(alone.map((s) => s.startedMs))),
  );
  say("CreateVM to sandbox and pause container", seconds(median(alone.map((s) => s.readyMs))));
  say("stop, median", seconds(median(stops)));

  const begun = performance.now();
  const burst = await Promise.all(Array.from({ length: pods }, (_, n) => startPod(node, `burst-${n}`)));
  say(`${pods} at once, all ready`, seconds(performance.now() - begun));
  const ready = burst.map(({ readyMs }) => readyMs);
  say("the first of them ready, and the median", `${seconds(Math.min(...ready))}, ${seconds(median(ready))}`);
  const memory = memoryOfVms(node);
  say(
    `memory of ${memory.length} QEMUs (PSS)`,
    `${memory.reduce((sum, each) => sum + each, 0).toFixed(0)} MiB`,
  );
  const ending = performance.now();
  await Promise.all(burst.map((started) => stopPod(node, started)));
  say(`${pods} stopped at once`, seconds(performance.now() - ending));
  say(
    "load after",
    loadavg()
      .map((load) => load.toFixed(1))
      .join(" "),
  );
  await control.kill("SIGTERM");
}

prepareNamespaces();
await measure(Number(options.pods));
