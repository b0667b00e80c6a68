import { isRoot } from "../../test/node/namespaces.ts";
import type { Adaptor, Starter } from "../adaptors.ts";
import { scriptCost } from "../other-cloud.ts";
import { sleep } from "../processes.ts";
import type { RepeatedStep, Step } from "../settings.ts";
import type { Site } from "../site.ts";
import { interleave } from "../stats.ts";
import { HeldPod } from "./held-pod.ts";
import { ManyNetworks } from "./networks.ts";
import { startStubRoom } from "./room.ts";
import { measureStep, type StepFigures } from "./steps.ts";

/** Rooms of pods, and of what is being deleted. */
const LIMIT = 640;

/** Time for a process to write what it has compiled, which it does right after it serves. */
const SETTLE_MS = 1_500;

/** Every round of every step. */
export interface ManyPods {
  readonly steps: readonly {
    readonly step: Step;
    readonly rounds: ReadonlyMap<Adaptor["name"], readonly StepFigures[]>;
  }[];
  /** CPU milliseconds of the script that stands between the other adaptor and its cloud; taken off its figures. */
  readonly scriptCostMs: { readonly create: number; readonly remove: number } | undefined;
}

/** The machine room of stub VMs, pod networks, and adaptors on them. */
export interface ManyPodsStage {
  readonly starter: Starter;
  readonly networks: ManyNetworks;
}

export async function openStage(stack: AsyncDisposableStack, site: Site): Promise<ManyPodsStage> {
  const room = await startStubRoom(site.node.dir, isRoot);
  stack.defer(() => room.kill());
  const starter = site.starter(stack, { name: "script-many", cloudSocket: room.socket, limit: LIMIT });
  const networks = new ManyNetworks(isRoot);
  stack.defer(() => networks.remove());
  await leaveCompiledCode(starter);
  return { starter, networks };
}

/** Ours compiles less, and needs less memory, once a start has left behind what it has compiled. */
async function leaveCompiledCode(starter: Starter): Promise<void> {
  const first = await starter.ours();
  await sleep(SETTLE_MS);
  await first.kill();
}

/** Steps of pods for each adaptor in turns; every step of every adaptor begins with new processes. */
export async function measureSteps(
  site: Site,
  wanted: readonly RepeatedStep[],
  restMs: number,
): Promise<ManyPods> {
  await using stack = new AsyncDisposableStack();
  const { starter, networks } = await openStage(stack, site);
  const begin = new Map<Adaptor["name"], () => Promise<Adaptor>>([["ours", () => starter.ours()]]);
  if (starter.hasOther) begin.set("other", () => starter.other());
  const steps: ManyPods["steps"][number][] = [];
  const script = starter.script;
  const scriptCostMs = script === undefined ? undefined : await scriptCost(script);
  for (const { rounds, rests, ...step } of wanted) {
    site.note(`${step.pods} pods, at most ${step.inFlight} at a time`);
    // No more than the step needs: a node's own interfaces are as many as its pods.
    networks.make(step.pods);
    const contestants = new Map(
      [...begin].map(([name, start]) => {
        let round = 0;
        const measure = (): Promise<StepFigures> =>
          oneStep(start, networks, { step, restMs: round++ < rests ? restMs : 0 });
        return [name, measure] as const;
      }),
    );
    steps.push({ step, rounds: await interleave(rounds, contestants) });
  }
  return { steps, scriptCostMs };
}

async function oneStep(
  start: () => Promise<Adaptor>,
  networks: ManyNetworks,
  options: { readonly step: Step; readonly restMs: number },
): Promise<StepFigures> {
  const adaptor = await start();
  try {
    // What is loaded at first use belongs to no pod.
    const first = new HeldPod(adaptor, networks.get(0));
    await first.ready();
    await first.stop();
    return await measureStep(adaptor, networks, options);
  } finally {
    await adaptor.kill();
  }
}
