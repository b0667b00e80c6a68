import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from "./envelope.ts";
import { encodeFrame } from "./frame.ts";
import { FrameDecoder } from "./frame-decoder.ts";

const folder = new URL("../../test/fixtures/traces/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));

interface RecordedFrame {
  readonly stream: number;
  readonly type: number;
  readonly flags: number;
  readonly payload: string;
}

const framesOf = (file: string): RecordedFrame[] =>
  readFileSync(new URL(file, folder), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter((record) => record.payload !== undefined);

describe.each(files)("recording %s", (file) => {
  const frames = framesOf(file);

  test("every envelope decodes and encodes to the same bytes", () => {
    expect(frames.length).toBeGreaterThan(5);
    for (const frame of frames) {
      const data = Buffer.from(frame.payload, "hex");
      const again =
        frame.type === 1 ? encodeRequest(decodeRequest(data)) : encodeResponse(decodeResponse(data));
      expect(again.toString("hex")).toBe(frame.payload);
    }
  });

  test("the byte stream, cut anywhere, gives the same frames", () => {
    const bytes = Buffer.concat(
      frames.map((f) =>
        encodeFrame({
          streamId: f.stream,
          type: f.type,
          flags: f.flags,
          data: Buffer.from(f.payload, "hex"),
        }),
      ),
    );
    for (const size of [1, 7, 10, 4096, bytes.length]) {
      const decoder = new FrameDecoder();
      const seen: string[] = [];
      for (let at = 0; at < bytes.length; at += size) {
        for (const frame of decoder.push(bytes.subarray(at, at + size))) {
          seen.push(`${frame.streamId}/${frame.type}/${frame.flags}/${frame.data.toString("hex")}`);
        }
      }
      expect(decoder.atBoundary).toBe(true);
      expect(seen).toEqual(frames.map((f) => `${f.stream}/${f.type}/${f.flags}/${f.payload}`));
    }
  });
});
