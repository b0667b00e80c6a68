import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { decodeRequest } from "../ttrpc/index.ts";
import { type Asked, type Bench, eventually, FakeOwner, FakeVm, RawShim, startBench } from "./test-peers.ts";

interface Recorded {
  readonly chan: "hypervisor" | "agent";
  readonly conn: number;
  readonly event?: "connect" | "eof";
  readonly dir?: "c2s" | "s2c";
  readonly stream: number;
  readonly type: number;
  readonly flags: number;
  readonly method: string;
  readonly payload?: string;
}

const folder = new URL("../../test/fixtures/traces/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
const recordsOf = (file: string): Recorded[] =>
  readFileSync(new URL(file, folder), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

let bench: Bench;
beforeEach(async () => {
  bench = await startBench();
});
afterEach(() => bench.opened.closeAll());

/** A recorded connection as it is played again: the shim's end, and the requests as they came out behind the proxy. */
interface Played {
  readonly shim: RawShim;
  readonly asked: Map<number, Asked>;
}

/** What must come out behind the proxy: the same, but for what is left of the caller's time. */
const withoutTime = (data: Buffer) => ({ ...decodeRequest(data), timeoutNano: 0n });

describe.each(files)("recording %s", (file) => {
  test("passes the proxy byte for byte, both ways", async () => {
    const owner = await FakeOwner.attach(bench.opened, bench.dir);
    const vm = await FakeVm.start(bench.opened);
    vm.handlers.delete("Check");
    const dir = bench.sandboxDir("s1");
    await owner.client.putSandbox("s1", dir);
    await owner.client.putLink(vm.target("s1"));
    const played = new Map<number, Played>();
    for (const record of recordsOf(file)) await play(record, { owner, vm, dir, played });
  });
});

interface Stage {
  readonly owner: FakeOwner;
  readonly vm: FakeVm;
  readonly dir: string;
  readonly played: Map<number, Played>;
}

async function play(record: Recorded, { owner, vm, dir, played }: Stage): Promise<void> {
  const agent = record.chan === "agent";
  if (record.event === "connect") {
    const shim = await RawShim.connect(
      bench.opened,
      agent ? join(dir, "agent.ttrpc") : bench.hypervisorSocket,
    );
    played.set(record.conn, { shim, asked: new Map() });
    return;
  }
  const connection = played.get(record.conn);
  if (connection === undefined) throw new Error(`connection ${record.conn} was not opened`);
  if (record.event === "eof") return connection.shim.close();
  const data = Buffer.from(record.payload ?? "", "hex");
  const { stream: streamId, type, flags } = record;
  if (record.dir === "c2s") {
    const peer = agent ? vm : owner;
    const before = peer.asked.length;
    connection.shim.send({ streamId, type, flags, data });
    await eventually(() => {
      const asked = peer.asked.slice(before).find((one) => one.method === record.method);
      if (asked === undefined) throw new Error(`${record.method} did not arrive`);
      connection.asked.set(streamId, asked);
    });
    const asked = connection.asked.get(streamId);
    expect(withoutTime(asked?.data ?? Buffer.alloc(0))).toEqual(withoutTime(data));
    if (agent) expect(asked?.data.toString("hex")).toBe(record.payload);
    return;
  }
  connection.asked.get(streamId)?.answerRaw(data);
  if (connection.shim.closed) return;
  await eventually(() =>
    expect(connection.shim.answers.find((answer) => answer.streamId === streamId)?.data.toString("hex")).toBe(
      record.payload,
    ),
  );
}
