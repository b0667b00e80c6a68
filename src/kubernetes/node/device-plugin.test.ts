import { mkdtemp, readdir, rm, watch, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FakeClock } from "../../../test/fakes/fake-clock.ts";
import { FakeKubelet } from "../../../test/fakes/kubernetes/index.ts";
import { unavailable } from "../../errors/index.ts";
import { silentLog, systemClock } from "../../platform/index.ts";
import { DevicePlugin, type DevicePluginOptions, devicesOf } from "./device-plugin.ts";

const RESOURCE = "kata.peerpods.io/vm";
const never = new AbortController().signal;

let dir: string;
let kubelet: FakeKubelet;
const endings: (() => Promise<void>)[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "device-plugins-"));
  kubelet = new FakeKubelet(dir);
  await kubelet.start();
});

afterEach(async () => {
  for (const end of endings.splice(0)) await end();
  kubelet.stop();
  await rm(dir, { recursive: true });
});

/** Its looks pass as fast as the files allow; deadlines are real. */
const quick = {
  ...systemClock,
  schedule: (_ms: number, fn: () => void) => systemClock.schedule(1, fn),
  sleep: (_ms: number, signal?: AbortSignal) => systemClock.sleep(1, signal),
};

function start(change: Partial<DevicePluginOptions> = {}, clock = quick) {
  const plugin = new DevicePlugin(
    { clock, log: silentLog },
    { dir, instance: "1", limit: () => 3, room: async () => undefined, ...change },
  );
  const stop = new AbortController();
  const running = plugin.run(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  endings.push(end, async () => void (await plugin.withdraw(AbortSignal.abort())));
  return { plugin, end };
}

const counts = () => kubelet.devices(RESOURCE);
const until = (capacity: number, allocatable: number): Promise<void> =>
  kubelet.until(() => counts().capacity === capacity && counts().allocatable === allocatable);

test("the kubelet gets one device for each pod VM that the node takes", async () => {
  start();
  await until(3, 3);
  expect(kubelet.registrations).toMatchObject([{ version: "v1beta1", resourceName: RESOURCE }]);
});

test("a pod that is given a device gets nothing into its container by it", async () => {
  start();
  await until(3, 3);
  expect(await kubelet.allocate(RESOURCE, ["vm-0"])).toEqual({ containerResponses: [{}] });
});

test("it registers again with a kubelet that starts anew, also when that has emptied the folder", async () => {
  start();
  await until(3, 3);
  kubelet.stop();
  for (const name of await readdir(dir)) await rm(join(dir, name), { force: true });
  await kubelet.start();
  await until(3, 3);
  expect(kubelet.registrations.length).toBeGreaterThan(1);
});

test("it waits for a kubelet that is not there yet, and asks again where it was refused", async () => {
  kubelet.stop();
  start();
  kubelet.refuse = 2;
  await kubelet.start();
  await until(3, 3);
});

test("devices beyond the cloud's room are unhealthy, and come back with it", async () => {
  let room = 1;
  const clock = new FakeClock();
  start({ room: async () => room }, { ...quick, monotonicMs: () => clock.monotonicMs() });
  await until(3, 1);
  room = 0;
  await clock.advance(60_000);
  await until(3, 0);
  room = 9;
  await clock.advance(60_000);
  await until(3, 3);
});

test("a cloud that cannot be asked changes nothing", async () => {
  let asked = 0;
  const clock = new FakeClock();
  const askedAgain = Promise.withResolvers<void>();
  const room = (): Promise<number> => {
    if (++asked === 1) return Promise.resolve(2);
    askedAgain.resolve();
    return Promise.reject(unavailable("the cloud is down"));
  };
  const { plugin } = start({ room }, { ...quick, monotonicMs: () => clock.monotonicMs() });
  await until(3, 2);
  await clock.advance(60_000);
  await askedAgain.promise;
  expect(counts()).toEqual({ capacity: 3, allocatable: 2 });
  expect(plugin.trouble).toBeUndefined();
});

test("a limit that changes is told at once; a negative one takes the plugin away", async () => {
  let limit = 3;
  const { plugin } = start({ limit: () => limit });
  await until(3, 3);
  limit = 5;
  plugin.refresh();
  await until(5, 5);
  limit = -1;
  plugin.refresh();
  await until(5, 0);
});

test("a successor takes over without a moment in which there are no devices", async () => {
  const seen: number[] = [];
  const first = start();
  await until(3, 3);
  const looking = kubelet.until(() => {
    seen.push(counts().allocatable);
    return kubelet.registrations.length === 2;
  });
  await first.end();
  const leaving = first.plugin.withdraw(never);
  start({ instance: "2" });
  expect(await leaving).toBe("kept");
  await looking;
  await until(3, 3);
  expect(Math.min(...seen)).toBe(3);
});

test("without a successor its devices become unhealthy, and its socket goes", async () => {
  const { plugin, end } = start();
  await until(3, 3);
  await end();
  expect(await plugin.withdraw(never)).toBe("withdrawn");
  await until(3, 0);
  expect((await readdir(dir)).filter((name) => name.startsWith("peerpods"))).toEqual([]);
});

test("sockets that killed instances left are removed", async () => {
  await writeFile(join(dir, "peerpods-vm-0.sock"), "");
  await writeFile(join(dir, "other.sock"), "");
  const changes = watch(dir);
  start();
  for await (const _ of changes) if (!(await readdir(dir)).includes("peerpods-vm-0.sock")) break;
  expect(await readdir(dir)).toContain("other.sock");
});

test("device ids are stable, unique and short enough", () => {
  const devices = devicesOf(200, undefined);
  expect(new Set(devices.map((device) => device.ID)).size).toBe(200);
  expect(devices.every((device) => device.ID.length <= 63)).toBe(true);
  expect(devicesOf(0, undefined)).toEqual([]);
});
