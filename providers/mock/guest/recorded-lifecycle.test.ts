import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  ReadStreamResponse,
  StatsContainerResponse,
  WaitProcessResponse,
} from "../../../src/gen/agent/agent.ts";
import { decodeRequest, decodeResponse, TtrpcError } from "../../../src/ttrpc/index.ts";
import { BUSYBOX_PATH } from "./make-image.ts";
import { bootTestVm, canRunContainers, type TestConnection } from "./test-vm.ts";

interface Recorded {
  readonly conn: number;
  readonly dir: string;
  readonly stream: number;
  readonly method: string;
  readonly payload: string;
}

const recording = (name: string): readonly Recorded[] =>
  readFileSync(new URL(`../../../test/fixtures/traces/${name}`, import.meta.url), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter((record) => record.chan === "agent" && record.payload !== undefined);

type Outcome = { readonly code: number; readonly message: string; readonly payload: Uint8Array };

async function outcomeOf(call: Promise<Uint8Array>): Promise<Outcome> {
  try {
    return { code: 0, message: "", payload: await call };
  } catch (error) {
    if (error instanceof TtrpcError)
      return { code: error.code, message: error.message, payload: new Uint8Array(0) };
    throw error;
  }
}

/** Makes the recorded calls in the recorder's order; each answer is awaited where it was recorded. */
async function replay(
  connection: TestConnection,
  frames: readonly Recorded[],
  onAnswer: (frame: Recorded, expected: Outcome, got: Outcome) => void,
): Promise<void> {
  const pending = new Map<number, Promise<Outcome>>();
  for (const frame of frames) {
    const bytes = Buffer.from(frame.payload, "hex");
    if (frame.dir === "c2s") {
      const { service, method, payload } = decodeRequest(bytes);
      pending.set(frame.stream, outcomeOf(connection.client.call(service, method, payload)));
      continue;
    }
    const { status, payload } = decodeResponse(bytes);
    const got = await pending.get(frame.stream);
    if (got === undefined) throw new Error(`stream ${frame.stream} was never asked`);
    onAnswer(frame, { code: status?.code ?? 0, message: status?.message ?? "", payload }, got);
  }
}

/** Codes, texts, output and exit codes must be equal; figures must be figures. */
function expectSameAnswer(frame: Recorded, expected: Outcome, got: Outcome): void {
  const where = `${frame.method} on stream ${frame.stream}`;
  expect({ where, code: got.code, message: got.message }).toEqual({
    where,
    code: expected.code,
    message: expected.message,
  });
  if (frame.method === "ReadStdout" || frame.method === "ReadStderr") {
    const text = (payload: Uint8Array) => Buffer.from(ReadStreamResponse.decode(payload).data).toString();
    expect(`${where}: ${text(got.payload)}`).toBe(`${where}: ${text(expected.payload)}`);
  }
  if (frame.method === "WaitProcess" && expected.code === 0) {
    expect(WaitProcessResponse.decode(got.payload)).toEqual(WaitProcessResponse.decode(expected.payload));
  }
  if (frame.method === "StatsContainer") {
    const { cgroupStats } = StatsContainerResponse.decode(got.payload);
    expect(cgroupStats?.cpuStats?.cpuUsage?.totalUsage).toBeGreaterThan(0n);
    expect(cgroupStats?.memoryStats?.usage?.usage).toBeGreaterThan(0n);
    expect(cgroupStats?.pidsStats?.current).toBeGreaterThan(0n);
  }
}

describe("the recorded life of a pod", () => {
  const ready = canRunContainers && existsSync(BUSYBOX_PATH);

  test.skipIf(!ready)(
    "is answered by the guest as by the real agent: output, exec's exit 7, figures, exit 5, kill, destroy (needs root, runc, busybox-static)",
    async () => {
      await using vm = await bootTestVm();
      const connection = await vm.connect();
      const methods = new Set<string>();
      await replay(connection, recording("pod-lifecycle.jsonl"), (frame, expected, got) => {
        methods.add(frame.method);
        expectSameAnswer(frame, expected, got);
      });
      expect(methods).toContain("DestroySandbox");
    },
  );

  test.skipIf(!ready)(
    "is answered to the Rust shim too, which names capabilities and exec ids in its own way (needs root, runc, busybox-static)",
    async () => {
      await using vm = await bootTestVm({ image: "127.0.0.1:5000/busybox:latest" });
      const frames = recording("runtime-rs-lifecycle.jsonl");
      // Its last answer is the recorder's own: the adaptor had gone.
      const answered = frames.filter(({ method, dir }) => method !== "GetOOMEvent" || dir === "c2s");
      await replay(await vm.connect(), answered, expectSameAnswer);
    },
  );
});
