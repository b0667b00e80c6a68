// What a warm pool saves, on the machine room with a boot that takes as long as a cloud's: `node bench/warm-pool.ts`. One pod that finds a VM
// waiting, and one that does not, from CreateVM to the answer of its agent. Runs in namespaces of its own, as root or without.
import { isInside, isRoot, prepareNamespaces, rerunInNamespaces } from "../test/node/namespaces.ts";
import { never, Stage } from "../test/resilience/stage.ts";

const BOOT_MS = 40_000;

/** Seconds from CreateVM until the sandbox is open, which its agent answers. */
async function ready(stage: Stage): Promise<{ readonly seconds: number; end(): Promise<void> }> {
  const { pod } = stage.newPod();
  const startedMs = performance.now();
  await pod.create();
  await pod.start();
  await pod.openSandbox();
  return { seconds: (performance.now() - startedMs) / 1000, end: () => pod.stop() };
}

async function measure(): Promise<void> {
  await using stage = await Stage.open({ limit: 3 });
  await stage.cloud.settings({ bootDelayMs: BOOT_MS }, never);
  const control = stage.control(["-pod-vm-pool=1"]);
  await stage.journalHas("SELECT 1 FROM pool WHERE phase = 'waiting'");
  const warm = await ready(stage);
  // The pool is being filled again, which takes a boot: the next pod finds nothing.
  const cold = await ready(stage);
  console.log("| VM boots in 40 s | pod ready, s |\n|---|---:|");
  console.log(`| a VM waits in the pool | ${warm.seconds.toFixed(2)} |`);
  console.log(`| none waits | ${cold.seconds.toFixed(2)} |`);
  await warm.end();
  await cold.end();
  await control.kill("SIGTERM");
  stage.control();
  await stage.journalHas("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pool)");
}

if (isRoot && !isInside) process.exit(rerunInNamespaces(import.meta.filename, process.argv.slice(2)));
if (isRoot) prepareNamespaces();
await measure();
process.exit(0);
