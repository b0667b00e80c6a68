import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Code } from "../errors/index.ts";
import { decodeResponse } from "../ttrpc/index.ts";
import { AGENT, type Bench, eventually, type FakeVm, linkedPod, RawShim, startBench } from "./test-peers.ts";

const SUM_BYTES = 32;

const sumOf = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

/** A payload that tells whether a byte of it was changed; no two look alike. */
function sealed(bytes: number, mark: number): Buffer {
  const content = Buffer.alloc(bytes, mark);
  for (let at = 0; at + 4 <= bytes; at += 997) content.writeUInt32BE((mark * 65_537 + at) >>> 0, at);
  return Buffer.concat([sumOf(content), content]);
}

const isIntact = (payload: Uint8Array): boolean =>
  payload.length >= SUM_BYTES &&
  sumOf(payload.subarray(SUM_BYTES)).equals(Buffer.from(payload.subarray(0, SUM_BYTES)));

/** A shim, and what it waits for. */
interface Asking {
  readonly shim: RawShim;
  readonly unanswered: Set<number>;
}

/** What the agent's peers have seen. */
class Witness {
  readonly harmed: string[] = [];
  answered = 0;

  payload(where: string, payload: Uint8Array): void {
    if (!isIntact(payload)) this.harmed.push(`${where} of ${payload.length} bytes`);
  }

  /** Takes what has come to a shim: whole, each answer once, or the one failure that a break may cost. */
  answers({ shim, unanswered }: Asking): void {
    for (const { streamId, data } of shim.answers.splice(0)) {
      if (!unanswered.delete(streamId)) this.harmed.push(`answer ${streamId}, which nothing waits for`);
      const { status, payload } = decodeResponse(data);
      this.answered++;
      if (status === undefined) this.payload("answer", payload);
      else if (status.code !== Code.Unavailable) this.harmed.push(`answer with code ${status.code}`);
    }
  }
}

const METHODS = ["CopyFile", "ReadStdout", "WaitProcess"] as const;
/** About where frames get another treatment: kept or not, batched or not, with memory of the pool or not. */
const SIZES = [0, 16_384, 32_768, 65_536, 131_072, 1_048_576, 4_194_000];

const happening = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant("ask"),
      shim: fc.nat(1),
      method: fc.constantFrom(...METHODS),
      bytes: fc.tuple(fc.constantFrom(...SIZES), fc.nat(200)).map(([size, less]) => Math.max(1, size - less)),
      timeoutMs: fc.constantFrom(0, 60_000),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("turns"), count: fc.integer({ min: 1, max: 30 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom("vm-holds", "vm-reads", "shim-holds", "shim-reads", "link-breaks", "shim-leaves"),
      shim: fc.nat(1),
    }),
  },
);
type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;

/** A pod whose agent says what it is told, and two shims. */
class Scene {
  readonly witness: Witness = new Witness();
  readonly #bench: Bench;
  readonly #vm: FakeVm;
  readonly #agentSocket: string;
  readonly #shims: Asking[] = [];
  #asked = 0;

  private constructor(bench: Bench, vm: FakeVm, agentSocket: string) {
    this.#bench = bench;
    this.#vm = vm;
    this.#agentSocket = agentSocket;
    for (const method of METHODS)
      vm.handlers.set(method, (asked) => {
        this.witness.payload(method, asked.payload);
        asked.answer(asked.payload);
      });
  }

  static async open(bench: Bench, plain: boolean): Promise<Scene> {
    const { vm, agentSocket } = await linkedPod(bench, "s1", { plain });
    const scene = new Scene(bench, vm, agentSocket);
    for (const index of [0, 1]) await scene.#connect(index);
    return scene;
  }

  async #connect(index: number): Promise<void> {
    const shim = await RawShim.connect(this.#bench.opened, this.#agentSocket);
    this.#shims[index] = { shim, unanswered: new Set() };
  }

  async play(happened: Happening): Promise<void> {
    if (happened.kind === "turns") {
      for (let count = 0; "count" in happened && count < happened.count; count++)
        await new Promise((resolve) => setImmediate(resolve));
      return;
    }
    if (!("shim" in happened)) return;
    const asking = this.#shims[happened.shim];
    if (asking === undefined) return;
    const { shim, unanswered } = asking;
    if ("bytes" in happened) {
      const payload = sealed(happened.bytes, ++this.#asked);
      unanswered.add(shim.ask(AGENT, happened.method, payload, happened.timeoutMs));
    } else if (happened.kind === "link-breaks") {
      for (const stream of this.#vm.streams) stream.destroy();
    } else if (happened.kind === "shim-leaves") {
      shim.close();
      await this.#connect(happened.shim);
    } else {
      const peer = happened.kind.startsWith("vm-") ? this.#vm : shim;
      peer.read();
      if (happened.kind.endsWith("-holds")) peer.hold();
    }
  }

  /** All read again; each shim that stayed gets an answer to all that it asked. */
  async end(): Promise<void> {
    this.#vm.read();
    for (const { shim } of this.#shims) shim.read();
    await eventually(() => {
      for (const asking of this.#shims) {
        this.witness.answers(asking);
        expect(asking.shim.closed).toBe(false);
        expect([...asking.unanswered]).toEqual([]);
      }
    });
  }
}

test.each([{ plain: true }, { plain: false }])(
  "whatever breaks, leaves or does not read: no byte is harmed, and each call of a shim that stays is answered once (%o)",
  { timeout: 60_000 },
  async ({ plain }) => {
    await fc.assert(
      fc.asyncProperty(fc.array(happening, { minLength: 40, maxLength: 120 }), async (happenings) => {
        const bench = await startBench();
        try {
          const scene = await Scene.open(bench, plain);
          for (const happened of happenings) await scene.play(happened);
          await scene.end();
          expect(scene.witness.harmed).toEqual([]);
          expect(scene.witness.answered).toBeGreaterThan(0);
        } finally {
          await bench.opened.closeAll();
        }
      }),
      { numRuns: 4, endOnFailure: true },
    );
  },
);
