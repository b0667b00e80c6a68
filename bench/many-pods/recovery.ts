import { OurAdaptor, type Place, type Starter } from "../adaptors.ts";
import { cpuOf, type Process, totalCpu } from "../processes.ts";
import type { Effort } from "../settings.ts";
import type { Site } from "../site.ts";
import { HeldPod } from "./held-pod.ts";
import { openStage } from "./measure.ts";
import { inTurns } from "./steps.ts";

/** From the start of the process to the answer to GetInfo, which only a control plane that has recovered gives; milliseconds. */
export interface Recovery {
  readonly pods: number;
  /** The control plane was killed, the shim-proxy with its links lived on. One value for each time. */
  readonly besideProxyMs: readonly number[];
  /** CPU time of the new control plane until then. */
  readonly besideProxyCpuMs: readonly number[];
  /** Both were killed, and started again at once. */
  readonly coldMs: number;
}

const IN_FLIGHT = 20;
const ANSWER_LIMIT_MS = 30_000;

/** Kills processes of ours with many pods running, and waits until their successors know all of them. */
export async function measureRecovery(site: Site, effort: Effort["manyPods"]): Promise<Recovery> {
  await using stack = new AsyncDisposableStack();
  const { starter, networks } = await openStage(stack, site);
  const count = effort.recoveryPods;
  networks.make(count);
  site.note(`recovery with ${count} pods`);
  const place = starter.place("r");
  let proxy = stack.adopt(starter.shimProxy(place), (process) => process.kill());
  let control = stack.adopt(starter.controlPlane(place), (process) => process.kill());
  const adaptor = new OurAdaptor(place, [proxy, control]);
  await proxy.listensOn(place.socket);
  const pods = Array.from({ length: count }, (_, n) => new HeldPod(adaptor, networks.get(n)));
  await inTurns(pods, IN_FLIGHT, (pod) => pod.ready());
  const besideProxyMs: number[] = [];
  const besideProxyCpuMs: number[] = [];
  for (let n = 0; n < effort.recoveries; n++) {
    await control.kill();
    const begun = begin(starter, place);
    control = stack.adopt(begun.control, (process) => process.kill());
    besideProxyMs.push(await knowsAll(begun, adaptor, pods));
    besideProxyCpuMs.push(totalCpu(cpuOf([control])));
    // Over the connections that their shims had before.
    await inTurns(pods, IN_FLIGHT, (pod) => pod.check());
  }
  await control.kill();
  await proxy.kill();
  const startedMs = performance.now();
  proxy = stack.adopt(starter.shimProxy(place), (process) => process.kill());
  const cold = { ...begin(starter, place), startedMs };
  stack.adopt(cold.control, (process) => process.kill());
  const coldMs = await knowsAll(cold, adaptor, pods);
  for (const pod of pods) await pod.leave();
  return { pods: count, besideProxyMs, besideProxyCpuMs, coldMs };
}

interface Begun {
  readonly control: Process;
  readonly startedMs: number;
}

function begin(starter: Starter, place: Place): Begun {
  return { startedMs: performance.now(), control: starter.controlPlane(place) };
}

/** Until it tells the VMs of the first and of the last pod. */
async function knowsAll(
  { control, startedMs }: Begun,
  { shim }: OurAdaptor,
  pods: readonly HeldPod[],
): Promise<number> {
  for (const pod of [pods.at(0), pods.at(-1)]) {
    if (pod === undefined) continue;
    await control.until(
      "knows its pods",
      async () => (await shim.vmId(pod.identity, false, ANSWER_LIMIT_MS)) !== "",
    );
  }
  return performance.now() - startedMs;
}
