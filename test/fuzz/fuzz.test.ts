import { afterAll, expect, test } from "vitest";
import { Random, readCorpus } from "./mutate.ts";
import { fuzzClient, fuzzDecoder, fuzzServer, makeServer } from "./targets.ts";

/** The short form of run.ts: another seed each time, named by the test that fails. */
const seed = Date.now() >>> 0;
const corpus = readCorpus(seed);
const server = makeServer();

afterAll(() => server[Symbol.asyncDispose]());

test(`the decoder takes 10,000 mutated frames (seed ${seed})`, () => {
  const random = new Random(seed);
  for (let batch = 0; batch < 10; batch++) fuzzDecoder(random, corpus, 1000);
});

test(`a server stays up and answers good calls between 10,000 mutated frames (seed ${seed})`, async () => {
  const random = new Random(seed);
  for (let batch = 0; batch < 20; batch++) await fuzzServer(server, random, { corpus, frames: 500 });
  expect(server.connectionCount).toBe(0);
  expect(server.callsInFlight).toBe(0);
});

test(`a client settles every call under 10,000 mutated answers (seed ${seed})`, async () => {
  const random = new Random(seed);
  for (let batch = 0; batch < 200; batch++) await fuzzClient(random, corpus, 50);
});
