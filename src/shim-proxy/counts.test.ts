import { once } from "node:events";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { Counts } from "./counts.ts";
import type { VmTarget } from "./vm-dialler.ts";

const target: VmTarget = { address: "192.0.2.1", port: 1, tls: undefined, volumes: [] };

test("a stream that has closed before its dialler answers is counted and not kept", async () => {
  const stream = new PassThrough();
  stream.destroy();
  await once(stream, "close");
  let asked = 0;
  const bytesRead = (): number => {
    asked++;
    return 5;
  };
  const dial = async () => ({ stream, bytesRead, bytesWritten: () => 0 });
  const counts = new Counts(0);
  await counts.counted(dial)(target, new AbortController().signal);
  expect([counts.bytesFrom, counts.bytesFrom, asked]).toEqual([5, 5, 1]);
});
