import { readdirSync, readFileSync } from "node:fs";
import { duplexPair } from "node:stream";
import { describe, expect, test } from "vitest";
import { TtrpcClient } from "./client.ts";
import { decodeRequest, decodeResponse } from "./envelope.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import { type RawMethod, TtrpcServer } from "./server.ts";
import { TtrpcError } from "./status.ts";

/** A line of test/fixtures/traces/*.jsonl; README.md there explains the fields. */
interface RecordedFrame {
  readonly chan: string;
  readonly conn: number;
  readonly dir: "c2s" | "s2c";
  readonly stream: number;
  readonly payload: string;
}

const folder = new URL("../../test/fixtures/traces/", import.meta.url);
const recordings = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));

function connectionsOf(file: string): RecordedFrame[][] {
  const frames: RecordedFrame[] = readFileSync(new URL(file, folder), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter((record) => record.payload !== undefined);
  return [...Map.groupBy(frames, ({ conn }) => conn).values()];
}

const wireForm = (frame: RecordedFrame): string => `${frame.stream}:${frame.payload}`;

/** Plays one recorded connection: our client asks, our server answers, each in the recorded order. */
async function replay(frames: readonly RecordedFrame[]): Promise<{ c2s: string[]; s2c: string[] }> {
  const [left, right] = duplexPair();
  const running: PromiseWithResolvers<Uint8Array>[] = [];
  const arrivals: PromiseWithResolvers<void>[] = [];
  const handler: RawMethod = () => {
    const answer = Promise.withResolvers<Uint8Array>();
    running.push(answer);
    arrivals[running.length - 1]?.resolve();
    return answer.promise;
  };
  const server = new TtrpcServer();
  const requests = frames.filter(({ dir }) => dir === "c2s");
  const decoded = requests.map(({ payload }) => decodeRequest(Buffer.from(payload, "hex")));
  for (const [service, calls] of Map.groupBy(decoded, (request) => request.service))
    server.registerRaw(service, Object.fromEntries(calls.map(({ method }) => [method, handler])));
  const wire = { c2s: tap(right), s2c: tap(left) };
  server.serveConnection(right);
  await using client = new TtrpcClient(left);
  const outcomes = new Map<number, Promise<{ payload: Uint8Array; code: number; message: string }>>();
  for (const frame of frames) {
    const bytes = Buffer.from(frame.payload, "hex");
    if (frame.dir === "c2s") {
      const { service, method, payload, timeoutNano, metadata } = decodeRequest(bytes);
      const arrived = Promise.withResolvers<void>();
      arrivals.push(arrived);
      outcomes.set(
        frame.stream,
        client.call(service, method, payload, { timeoutNano, metadata }).then(
          (answer) => ({ payload: answer, code: 0, message: "" }),
          (error: TtrpcError) => ({ payload: new Uint8Array(0), code: error.code, message: error.message }),
        ),
      );
      await arrived.promise;
    } else {
      const { status = { code: 0, message: "" }, payload } = decodeResponse(bytes);
      const answer = running[requests.findIndex(({ stream }) => stream === frame.stream)];
      if (status.code === 0) answer?.resolve(payload);
      else answer?.reject(new TtrpcError(status.code, status.message));
      expect(await outcomes.get(frame.stream)).toEqual({ payload, ...status });
    }
  }
  await server[Symbol.asyncDispose]();
  await client.closed;
  return wire;
}

/** What arrives at one end, as the recorder wrote it. */
function tap(stream: ReturnType<typeof duplexPair>[number]): string[] {
  const seen: string[] = [];
  const decoder = new FrameDecoder();
  stream.on("data", (chunk: Buffer) => {
    for (const { streamId, data } of decoder.push(chunk)) seen.push(`${streamId}:${data.toString("hex")}`);
  });
  return seen;
}

describe.each(recordings)("%s played by our client and server", (file) => {
  test("gives every recorded byte in both directions, and every caller its recorded outcome", async () => {
    for (const frames of connectionsOf(file)) {
      const wire = await replay(frames);
      expect(wire.c2s).toEqual(frames.filter(({ dir }) => dir === "c2s").map(wireForm));
      expect(wire.s2c).toEqual(frames.filter(({ dir }) => dir === "s2c").map(wireForm));
    }
  });
});
