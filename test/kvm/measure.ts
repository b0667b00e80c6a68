// `make measure-kvm`: pods in real machines, measured: boot and ready times, memory, what the tunnel costs, and a burst.
//   --pods=N    pods of the burst; default 10
//   --alone=N   pods one after another; default 3
import { execFileSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { isInside, isRoot, prepareNamespaces, rerunInNamespaces } from "../node/namespaces.ts";
import { type PodNetwork, TestNode } from "../node/test-node.ts";
import { PlayedPod } from "../shim/played-pod.ts";
import { providePodVmImage, provideQemu } from "./prepare.ts";
import { kvmProcesses } from "./residue.ts";

const PINGS = 100;

const { values: options } = parseArgs({
  options: { pods: { type: "string", default: "10" }, alone: { type: "string", default: "3" } },
});
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

const loads = (): string =>
  loadavg()
    .map((load) => load.toFixed(1))
    .join(" ");

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

/** Median round trip of echo requests, answered by the kernel on the other side; milliseconds. */
function roundTrip(host: string): number {
  const text = execFileSync("busybox", ["ping", "-c", `${PINGS}`, "-i", "0.05", host], { encoding: "utf8" });
  return median([...text.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms)));
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
  say("load before", loads());
  const times = Number(options.alone);
  const alone: Started[] = [];
  const stops: number[] = [];
  for (let n = 0; n < times; n++) {
    const started = await startPod(node, `alone-${n}`);
    alone.push(started);
    if (n === times - 1) {
      say(
        `round trip to the VM, median of ${PINGS}`,
        `${roundTrip(addressOf(node, started.name)).toFixed(2)} ms`,
      );
      say("round trip to the pod, through the tunnel", `${roundTrip(started.network.ip).toFixed(2)} ms`);
      say("memory of a QEMU whose VM has 2048 MiB (PSS)", `${memoryOfVms(node)[0]?.toFixed(0)} MiB`);
    }
    stops.push(await stopPod(node, started));
  }
  say(
    `CreateVM to StartVM's answer, one at a time, median of ${times}`,
    seconds(median(alone.map((s) => s.startedMs))),
  );
  say("CreateVM to sandbox and pause container", seconds(median(alone.map((s) => s.readyMs))));
  say("stop, median", seconds(median(stops)));

  if (pods > 0) await measureBurst(node, pods);
  say("load after", loads());
  await control.kill("SIGTERM");
}

async function measureBurst(node: TestNode, pods: number): Promise<void> {
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
}

prepareNamespaces();
await measure(Number(options.pods));
