// `make crash-matrix`: kills the control plane, the shim-proxy, both, the shim, or the whole node at every step that the
// product itself announces, before and after its effect, and checks that nothing is left and no pod lost that need not be.
//   --sample=N     only N scenarios, spread over all of them
//   --crash=KIND   only this kind; --point=TEXT only points that contain TEXT
//   --provider=kvm VMs are real machines, in software emulation where KVM does not run: only lives without faults of the cloud,
//                  and minutes for each scenario, so give --sample
//   --self-test    sabotages recovery once, and succeeds only if the matrix turns red
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { providePodVmImage, provideQemu } from "../kvm/prepare.ts";
import { isInside, isRoot, prepareNamespaces, rerunInNamespaces } from "../node/namespaces.ts";
import { LIFE_KINDS } from "./life.ts";
import { MatrixNode } from "./matrix-node.ts";
import { CRASHES, play, recordPoints, removePods, type Scenario } from "./scenario.ts";

/** Journal operations that no pod's life comes by, and the test that covers each. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "orphan-found": "src/sandbox/reaper.test.ts",
  "pool-drop-deleted": "src/sandbox/warm-pool-limits.test.ts",
  "replace-pooled-vm": "src/sandbox/warm-pool.test.ts",
  "set-pool-revision":
    "src/sandbox/warm-pool-limits.test.ts, once per journal and change of the provider's settings",
  "set-boot-id": "once per boot, at the first start",
  "set-proxy-instance": "once per shim-proxy, at the first attach",
};

const MAX_FAILURES = 10;

const { values: options } = parseArgs({
  options: {
    sample: { type: "string" },
    crash: { type: "string" },
    point: { type: "string" },
    provider: { type: "string", default: "mock" },
    "self-test": { type: "boolean", default: false },
  },
});
const isKvm = options.provider === "kvm";
if (isKvm && !isInside) {
  const reason = provideQemu();
  if (reason !== undefined) {
    console.error(`--provider=kvm ${reason}`);
    process.exit(2);
  }
  providePodVmImage();
}
if (isRoot && !isInside) process.exit(rerunInNamespaces(import.meta.filename, process.argv.slice(2)));
if (isRoot) prepareNamespaces();
else
  console.log(
    "not root: VMs are plain processes and there are no tunnels, so their steps are not in the matrix",
  );
process.exit(await main());

async function openNode(): Promise<MatrixNode> {
  const node = new MatrixNode(
    isRoot,
    isKvm
      ? { provider: "kvm", kvmImage: providePodVmImage(), adaptorFlags: ["-kvm-memory=1024", "-kvm-vcpus=1"] }
      : {},
  );
  await node.open();
  return node;
}

async function main(): Promise<number> {
  const node = await openNode();
  const recorded: { life: Scenario["life"]; points: readonly string[] }[] = [];
  try {
    const lives = isKvm
      ? LIFE_KINDS.filter((kind) => !kind.endsWith("-fails") && kind !== "pooled")
      : LIFE_KINDS;
    for (const life of lives) recorded.push({ life, points: await recordPoints(node, life) });
    if (options["self-test"]) return await selfTest(node);
  } finally {
    await node[Symbol.asyncDispose]();
  }
  const missing = isKvm ? [] : unreached(recorded.flatMap(({ points }) => points));
  if (missing.length > 0) {
    console.log(`FAILED: journal operations without a point: ${missing.join(", ")}`);
    return 1;
  }
  const all = scenarios(recorded);
  const chosen = options.sample === undefined ? all : spread(all, Number(options.sample));
  const points = new Set(all.map((scenario) => scenario.point)).size;
  console.log(`${points} points, ${all.length} scenarios, ${chosen.length} to play`);
  return await playAll(chosen);
}

async function playAll(chosen: readonly Scenario[]): Promise<number> {
  let node = await openNode();
  let failed = 0;
  let missed = 0;
  for (const [n, scenario] of chosen.entries()) {
    const title = `${scenario.crash} dies at ${scenario.point} (${scenario.life})`;
    try {
      if (!(await play(node, scenario))) missed++;
      else if (process.stdout.isTTY || n % 20 === 0) console.log(`  ${n + 1}/${chosen.length} ${title}`);
    } catch (error) {
      failed++;
      console.log(
        `  FAILED ${title}: ${error instanceof Error ? error.message : String(error)}\n${node.node.logs(6000)}`,
      );
      if (failed >= MAX_FAILURES) break;
      // What is left behind would spoil the next ones.
      await node[Symbol.asyncDispose]();
      removePods();
      node = await openNode();
    }
  }
  await node[Symbol.asyncDispose]();
  console.log(
    `${chosen.length - failed - missed} passed, ${failed} failed, ${missed} skipped (the point was not reached this time)`,
  );
  return failed === 0 ? 0 : 1;
}

/** Each point of the whole life with every crash; of the others, the points that only they have. */
function scenarios(recorded: readonly { life: Scenario["life"]; points: readonly string[] }[]): Scenario[] {
  const seen = new Set<string>();
  return recorded.flatMap(({ life, points }) =>
    points
      .filter((point) => !seen.has(point))
      .filter((point) => options.point === undefined || point.includes(options.point))
      .flatMap((point) => {
        seen.add(point);
        return CRASHES.filter((crash) => options.crash === undefined || crash === options.crash).map(
          (crash) => ({ life, point, crash }),
        );
      }),
  );
}

/** `count` of the items, far apart and, for a prime stride, of every crash kind. */
function spread<T>(items: readonly T[], count: number): T[] {
  const stride = 61;
  const order = items.map((_, n) => (n * stride) % items.length);
  return [...new Set(order)].slice(0, count).flatMap((at) => items[at] ?? []);
}

/** The journal's own list of what it writes, minus what was reached: a step that nobody can crash at is a gap. */
function unreached(points: readonly string[]): string[] {
  const names = ["journal", "pool"].flatMap((file) => {
    const source = readFileSync(new URL(`../../src/journal/${file}.ts`, import.meta.url), "utf8");
    return [...source.matchAll(/this\.#store\.write\(\s*"([a-z-]+)"/g)].map((match) => match[1] ?? "");
  });
  return names.filter((name) => !(name in ELSEWHERE) && !points.includes(`journal.${name} before`));
}

async function selfTest(node: MatrixNode): Promise<number> {
  const scenario: Scenario = {
    life: "whole",
    point: "journal.vm-running after",
    crash: "control-plane",
    sabotage: true,
  };
  node.cleanTimeoutMs = 10_000;
  try {
    await play(node, scenario);
  } catch (error) {
    console.log(
      `self-test: the sabotaged recovery was seen: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`,
    );
    return 0;
  }
  console.log("self-test FAILED: a recovery that forgot a VM was not seen");
  return 1;
}
