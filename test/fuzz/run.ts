import { parseArgs } from "node:util";
import { Random, readCorpus } from "./mutate.ts";
import { fuzzClient, fuzzDecoder, fuzzServer, makeServer } from "./targets.ts";

/**
 * The long form of the fuzz tests: `node test/fuzz/run.ts [--frames N] [--seed S]`. Sends N mutated frames through each
 * of decoder, live server and client; ends with 0 only if nothing threw, every good call in between was answered and
 * memory stayed under its bound. A failure prints the seed with which it comes again.
 */

const BATCH_FRAMES = 1000;
/** Few, as most answers to a client count only until its calls have settled. */
const CLIENT_BATCH_FRAMES = 60;
/** Resident memory may grow by this much over what it was after the first batch, MiB. */
const MAX_GROWTH_MIB = 300;

const { values } = parseArgs({
  options: { frames: { type: "string", default: "1000000" }, seed: { type: "string" } },
});
const framesWanted = Number(values.frames);
const seed = values.seed === undefined ? Date.now() >>> 0 : Number(values.seed);

const residentMib = (): number => process.memoryUsage.rss() / 2 ** 20;

async function fuzz(name: string, batch: (random: Random) => number | Promise<number>): Promise<boolean> {
  const random = new Random(seed);
  const startMs = performance.now();
  let frames = await batch(random);
  const firstMib = residentMib();
  let mostMib = firstMib;
  while (frames < framesWanted) {
    frames += await batch(random);
    mostMib = Math.max(mostMib, residentMib());
    if (mostMib - firstMib > MAX_GROWTH_MIB) {
      console.log(
        `FAILED ${name}: memory grew from ${firstMib.toFixed(0)} to ${mostMib.toFixed(0)} MiB (seed ${seed})`,
      );
      return false;
    }
  }
  const seconds = (performance.now() - startMs) / 1000;
  console.log(
    `ok ${name}: ${frames} frames in ${seconds.toFixed(1)} s, memory ${firstMib.toFixed(0)} MiB, at most ${mostMib.toFixed(0)} MiB`,
  );
  return true;
}

async function main(): Promise<void> {
  console.log(`fuzzing ttrpc with seed ${seed}, ${framesWanted} frames each`);
  const corpus = readCorpus(seed);
  const server = makeServer();
  const targets: Record<string, (random: Random) => number | Promise<number>> = {
    decoder: (random) => fuzzDecoder(random, corpus, BATCH_FRAMES),
    server: (random) => fuzzServer(server, random, { corpus, frames: BATCH_FRAMES }),
    client: (random) => fuzzClient(random, corpus, CLIENT_BATCH_FRAMES),
  };
  let failed = 0;
  for (const [name, batch] of Object.entries(targets)) {
    try {
      if (!(await fuzz(name, batch))) failed++;
    } catch (error) {
      failed++;
      console.log(`FAILED ${name} (seed ${seed}):`, error);
    }
  }
  if (server.connectionCount > 0 || server.callsInFlight > 0) {
    failed++;
    console.log(`FAILED: ${server.connectionCount} connections and ${server.callsInFlight} calls were left`);
  }
  const total = Object.keys(targets).length;
  console.log(`${total - Math.min(failed, total)} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

await main();
