import { once } from "node:events";
import { type Duplex, duplexPair } from "node:stream";
import { AgentServiceDefinition } from "../../src/gen/agent/agent.ts";
import { HealthDefinition } from "../../src/gen/agent/health.ts";
import { HypervisorDefinition } from "../../src/gen/hypervisor/hypervisor.ts";
import { PodVMInfoDefinition } from "../../src/gen/hypervisor/podvminfo.ts";
import {
  decodeRequest,
  decodeResponse,
  encodeFrame,
  encodeRequest,
  type Frame,
  FrameDecoder,
  FrameType,
  HEADER_BYTES,
  MAX_DATA_BYTES,
  type ServiceDefinition,
  TtrpcClient,
  TtrpcError,
  TtrpcServer,
} from "../../src/ttrpc/index.ts";
import { brokenTail, inPieces, mutatedFrame, type Random, type readCorpus } from "./mutate.ts";

/** What is fuzzed. Each function throws when something that must hold did not; `random` decides everything. */

const definitions: readonly ServiceDefinition[] = [
  HypervisorDefinition,
  PodVMInfoDefinition,
  AgentServiceDefinition,
  HealthDefinition,
];

export type Corpus = ReturnType<typeof readCorpus>;

/** Every service of ours, whose methods decode their request and answer an empty message. */
export function makeServer(): TtrpcServer {
  const server = new TtrpcServer();
  for (const { fullName, methods } of definitions) {
    server.registerRaw(
      fullName,
      Object.fromEntries(
        Object.values(methods).map(({ name, requestType }) => [
          name,
          async (payload) => {
            requestType.encode(requestType.decode(payload)).finish();
            return new Uint8Array(0);
          },
        ]),
      ),
    );
  }
  return server;
}

/** Frames and lies through the decoder and the envelopes. Returns how many frames it was given. */
export function fuzzDecoder(random: Random, corpus: Corpus, frames: number): number {
  const all = [...corpus.requests, ...corpus.responses];
  const decoder = new FrameDecoder();
  const bytes = [];
  for (let i = 0; i < frames; i++) bytes.push(mutatedFrame(random, all, 2 * i + 1));
  // Out of step from here on: whatever comes must neither throw nor be kept.
  bytes.push(brokenTail(random, all));
  for (let i = 0; i < 10; i++) bytes.push(mutatedFrame(random, all, 2 * i + 1));
  let seen = 0;
  for (const piece of inPieces(random, Buffer.concat(bytes))) {
    for (const frame of decoder.push(piece)) {
      seen++;
      decodeEnvelopes(frame);
    }
    if (decoder.pendingBytes > HEADER_BYTES + MAX_DATA_BYTES) throw new Error("the decoder keeps too much");
  }
  if (seen < frames) throw new Error(`the decoder lost frames: ${seen} of ${frames}`);
  return frames + 10;
}

function decodeEnvelopes(frame: Frame): void {
  for (const decode of [decodeRequest, decodeResponse]) {
    try {
      decode(frame.data);
    } catch (error) {
      if (!(error instanceof Error)) throw new Error(`not an Error: ${String(error)}`);
    }
  }
}

/** The id of the last, good call of a batch; ids of a batch stay below it. */
const SENTINEL_ID = 2 ** 32 - 1;
const sentinel = encodeFrame({
  streamId: SENTINEL_ID,
  type: FrameType.Request,
  flags: 0,
  data: encodeRequest({
    service: HealthDefinition.fullName,
    method: HealthDefinition.methods.check.name,
    payload: new Uint8Array(0),
    timeoutNano: 0n,
    metadata: [],
  }),
});

/**
 * One connection with `frames` bad frames, a good call, and a tail that breaks the framing. The server must answer in
 * good frames, the good call with OK, and give the connection up when it is closed. Returns how many frames it sent.
 */
export async function fuzzServer(
  server: TtrpcServer,
  random: Random,
  about: { corpus: Corpus; frames: number },
): Promise<number> {
  const [left, right] = duplexPair();
  const { closed } = server.serveConnection(right);
  const answered = readAnswers(left);
  const bytes = [];
  for (let i = 0; i < about.frames; i++) bytes.push(mutatedFrame(random, about.corpus.requests, 2 * i + 1));
  bytes.push(sentinel);
  for (const piece of inPieces(random, Buffer.concat(bytes))) await write(left, piece);
  await answered;
  await write(left, brokenTail(random, about.corpus.requests));
  if (random.chance(0.5)) left.end();
  else left.destroy();
  if (!closed.aborted) await once(closed, "abort");
  return about.frames + 2;
}

async function write(stream: Duplex, bytes: Buffer): Promise<void> {
  if (!stream.write(bytes)) await once(stream, "drain");
}

/** Resolves when the sentinel was answered OK; rejects when an answer is not a good frame. */
function readAnswers(stream: Duplex): Promise<void> {
  const decoder = new FrameDecoder();
  return new Promise((resolve, reject) => {
    stream.on("close", () => reject(new Error("closed before the good call was answered")));
    stream.on("data", (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) {
        const { status } = decodeResponse(frame.data);
        if (frame.type !== FrameType.Response || frame.flags !== 0) reject(new Error("not a response"));
        if (frame.streamId !== SENTINEL_ID) continue;
        if ((status?.code ?? 0) === 0) resolve();
        else reject(new Error(`the good call was answered ${status?.code} ${status?.message}`));
      }
    });
  });
}

/** One client with calls on which a server answers bad frames, then closes. Every call must settle with a TtrpcError or an answer. */
export async function fuzzClient(random: Random, corpus: Corpus, frames: number): Promise<number> {
  const [left, right] = duplexPair();
  right.resume();
  const client = new TtrpcClient(left);
  const calls = Array.from({ length: 50 }, () => client.call("s", "m", new Uint8Array(0)));
  const outcomes = Promise.allSettled(calls);
  const bytes = [];
  for (let i = 0; i < frames; i++)
    bytes.push(mutatedFrame(random, corpus.responses, 1 + 2 * random.below(60)));
  bytes.push(brokenTail(random, corpus.responses));
  for (const piece of inPieces(random, Buffer.concat(bytes))) {
    if (right.destroyed) break;
    await write(right, piece);
  }
  right.end();
  for (const outcome of await outcomes) {
    if (outcome.status === "rejected" && !(outcome.reason instanceof TtrpcError))
      throw new Error(`a call failed with ${String(outcome.reason)}`);
  }
  await client[Symbol.asyncDispose]();
  return frames + 1;
}
