import { afterEach, beforeEach, expect, test } from "vitest";
import { CopyFileRequest } from "../gen/agent/agent.ts";
import { encodeRequest } from "../ttrpc/index.ts";
import { AGENT, type Bench, eventually, linkedPod, RawShim, startBench } from "./test-peers.ts";

const MIB = 1024 * 1024;

let bench: Bench;
beforeEach(async () => {
  bench = await startBench();
});
afterEach(() => bench.opened.closeAll());

/** Bytes that tell which piece they are of, all over. */
function marked(bytes: number, mark: number): Buffer {
  const data = Buffer.alloc(bytes, mark);
  for (let at = 0; at + 4 <= bytes; at += 1000) data.writeUInt32BE((mark << 20) | (at / 1000), at);
  return data;
}

const copyFile = (data: Buffer): Uint8Array =>
  CopyFileRequest.encode(
    CopyFileRequest.create({ path: "/run/kata-containers/shared/containers/f", data }),
  ).finish();

test.each([{ plain: true }, { plain: false }])(
  "large requests and answers of many sizes pass unharmed, though their memory is used again and again (%o)",
  async (kind) => {
    const { vm, agentSocket } = await linkedPod(bench, "s1", kind);
    const shims = [
      await RawShim.connect(bench.opened, agentSocket),
      await RawShim.connect(bench.opened, agentSocket),
    ];
    vm.handlers.set("CopyFile", (asked) => asked.answer(asked.payload));
    const sizes = [MIB, 17_000, 3 * MIB, MIB, 100, 64 * 1024, MIB + 1, 200_000, MIB, 2 * MIB];
    const pieces = sizes.map((size, index) => copyFile(marked(size, index + 1)));
    for (let round = 0; round < 3; round++)
      for (const shim of shims) for (const piece of pieces) shim.ask(AGENT, "CopyFile", piece);
    for (const shim of shims) {
      await eventually(() => expect(shim.answers.length).toBe(3 * pieces.length));
      const answers = [...shim.answers].sort((one, other) => one.streamId - other.streamId);
      for (const [index, answer] of answers.entries()) {
        const piece = pieces[index % pieces.length] ?? new Uint8Array(0);
        expect(answer.data.subarray(-piece.length).equals(piece)).toBe(true);
      }
    }
  },
);

test("a large call that is kept is asked again as it was, whatever passed meanwhile", async () => {
  const { vm, agentSocket } = await linkedPod(bench);
  const shim = await RawShim.connect(bench.opened, agentSocket);
  const payload = marked(40_000, 9);
  shim.ask(AGENT, "WaitProcess", payload);
  const first = await vm.next("WaitProcess");
  vm.handlers.set("CopyFile", (asked) => asked.answer());
  for (let index = 0; index < 20; index++) shim.ask(AGENT, "CopyFile", copyFile(marked(40_000, index)));
  await eventually(() => expect(shim.answers.length).toBe(20));
  vm.cut();
  const again = await vm.next("WaitProcess", 1);
  expect(again.data.equals(first.data)).toBe(true);
  expect(
    again.data.equals(
      encodeRequest({ service: AGENT, method: "WaitProcess", payload, timeoutNano: 0n, metadata: [] }),
    ),
  ).toBe(true);
});
