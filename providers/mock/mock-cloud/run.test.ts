import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { silentLog, systemClock, systemExec } from "../../../src/platform/index.ts";
import type { CreateRequest, VmView } from "./api.ts";
import { ApiError, type MockCloudClient, runMockCloud } from "./index.ts";
import { canMakeNamespaces, endProcess, startTestRoom, type TestRoom, testConfig } from "./testing.ts";

const signal = new AbortController().signal;
const request = (name: string, more: Partial<CreateRequest> = {}): CreateRequest => ({
  name,
  tags: {},
  userData: "#cloud-config\n",
  ...more,
});

/** Asks until `found` says yes. */
async function until<T>(ask: () => Promise<T>, found: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await ask();
    if (found(value)) return value;
    await systemClock.sleep(5);
  }
}

async function boot(client: MockCloudClient, body: CreateRequest): Promise<VmView> {
  const { id } = await client.create(body, signal);
  return until(
    () => client.get(id, signal),
    (vm) => vm.lifecycle !== "creating" && (vm.lifecycle !== "running" || vm.addresses.length > 0),
  );
}

const consoleWith = (client: MockCloudClient, id: string, text: string): Promise<string> =>
  until(
    () => client.console(id, signal),
    (seen) => seen.includes(text),
  );

async function gone(client: MockCloudClient, id: string): Promise<void> {
  await client.delete(id, signal);
  await until(
    () => client.list({ tags: {}, names: [], after: undefined }, signal),
    ({ vms }) => vms.every((vm) => vm.id !== id),
  );
}

/** A script that listens on port 15150 and keeps each connection. */
const listening = (host: string): string =>
  `exec ${process.execPath} -e 'require("net").createServer((c) => c.on("error", () => {})).listen(15150, ${host}, () => console.log("listening"))'`;

/** Processes of VMs that are neither stopped nor dead; `unshare`, which only waits for its VM, does not count. */
async function awake({ room }: TestRoom): Promise<readonly string[]> {
  const pids = (await room.inventory()).flatMap((text) => /^process (\d+)$/.exec(text)?.[1] ?? []);
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")));
  return stats.filter((stat) => stat !== "" && !/^\d+ \(unshare\) S|\) [TZ] /.test(stat));
}

for (const rootless of [true, false]) {
  const kind = rootless ? "plain processes" : "namespaces";
  const start = (options: Partial<Parameters<typeof startTestRoom>[0]> = {}): Promise<TestRoom> =>
    startTestRoom({ rootless, ...options });
  const when = test.skipIf(!rootless && !canMakeNamespaces);
  const need = rootless ? "" : " (needs root)";

  when(
    `VMs of ${kind}: a VM is stopped when its image ends, and keeps its console until it is deleted${need}`,
    async () => {
      await using room = await start({ imageScript: "echo said; echo this >&2; exit 3" });
      const { id } = await room.client.create(request("podvm-a"), signal);
      const vm = await until(
        () => room.client.get(id, signal),
        ({ lifecycle }) => lifecycle === "stopped",
      );
      expect(vm.detail).toContain("exit status 3");
      expect(await consoleWith(room.client, id, "this")).toContain("said");
      await gone(room.client, id);
      expect(await room.room.inventory()).toEqual([]);
    },
  );

  when(
    `VMs of ${kind}: an image that cannot be started makes the VM fail and leaves nothing after delete${need}`,
    async () => {
      await using room = await start({ imageScript: "true" });
      await writeFile(join(room.config.imagesDir, "broken"), "#!/no/such/interpreter\n", { mode: 0o755 });
      const { id } = await room.client.create(request("podvm-a", { image: { name: "broken" } }), signal);
      const vm = await until(
        () => room.client.get(id, signal),
        ({ lifecycle }) => lifecycle === "failed" || lifecycle === "stopped",
      );
      expect(vm.detail).toBeTruthy();
      await gone(room.client, id);
      expect(await room.room.inventory()).toEqual([]);
    },
  );

  when(`VMs of ${kind}: power cut ends every process, also what the image has started${need}`, async () => {
    await using room = await start({ imageScript: "sleep 86400 & (setsid sleep 86400 &) ; echo up; wait" });
    const { id } = await boot(room.client, request("podvm-a"));
    await consoleWith(room.client, id, "up");
    await room.client.act(id, { action: "kill" }, signal);
    expect((await room.client.get(id, signal)).lifecycle).toBe("stopped");
    expect((await room.room.inventory()).filter((text) => text.startsWith("process"))).toEqual([]);
  });

  when(`VMs of ${kind}: a VM that is deleted while it boots leaves nothing${need}`, async () => {
    await using room = await start({ settings: { bootDelayMs: 0 } });
    const vms = await Promise.all(
      Array.from({ length: 6 }, (_, index) => room.client.create(request(`podvm-${index}`), signal)),
    );
    await Promise.all(vms.map(({ id }) => gone(room.client, id)));
    expect(await room.room.inventory()).toEqual([]);
  });

  when(`VMs of ${kind}: many VMs started at once all run, with addresses of their own${need}`, async () => {
    await using room = await start();
    const vms = await Promise.all(
      Array.from({ length: 10 }, (_, index) => boot(room.client, request(`podvm-${index}`))),
    );
    expect(vms.map(({ lifecycle }) => lifecycle)).toEqual(vms.map(() => "running"));
    expect(new Set(vms.flatMap(({ addresses }) => addresses)).size).toBe(10);
  });

  when(`VMs of ${kind}: new user data replaces the file that the guest reads${need}`, async () => {
    const path = rootless ? '"$PEERPOD_GUEST_USER_DATA"' : "/media/cidata/user-data";
    await using room = await start({
      imageScript: `stat -c %a ${path}; while ! grep -q second ${path}; do sleep 0.02; done; echo "got $(cat ${path})"; sleep 86400`,
    });
    const { id } = await boot(room.client, request("podvm-a", { userData: "first" }));
    expect(await consoleWith(room.client, id, "400")).not.toContain("got");
    await room.client.setUserData(id, "second", signal);
    expect(await consoleWith(room.client, id, "got")).toContain("got second");
  });

  when(
    `VMs of ${kind}: every process of a frozen VM is stopped, and goes on when it is thawed${need}`,
    async () => {
      await using room = await start({
        imageScript: "i=0; while true; do i=$((i+1)); echo tick$i; sleep 0.02; done",
      });
      const { id } = await boot(room.client, request("podvm-a"));
      await consoleWith(room.client, id, "tick2");
      await room.client.act(id, { action: "freeze" }, signal);
      await until(
        () => awake(room),
        (stats) => stats.length === 0,
      );
      await room.client.act(id, { action: "thaw" }, signal);
      await consoleWith(room.client, id, "tick9");
    },
  );

  when(`VMs of ${kind}: a machine room that closes takes its VMs and files with it${need}`, async () => {
    const room = await start();
    await boot(room.client, request("podvm-a"));
    await room.room.close();
    expect(await room.room.inventory()).toEqual([]);
    expect((await readdir(room.config.imagesDir)).includes("cloud.sock")).toBe(false);
    await room[Symbol.asyncDispose]();
  });

  when(
    `VMs of ${kind}: after kill -9 of the machine room a new one removes all that was left${need}`,
    async () => {
      const { config, folder } = await testConfig({ rootless });
      await using undo = new AsyncDisposableStack();
      undo.defer(() => rm(folder, { recursive: true, force: true }));
      const run = new URL("./testing-child.ts", import.meta.url).pathname;
      const command = [process.execPath, run, JSON.stringify(config)] as const;
      const [file, ...args] = rootless ? command : (["unshare", "--net", ...command] as const);
      const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
      undo.defer(() => endProcess(child));
      await once(child.stdout, "data");
      const { mockCloudClient } = await import("./client.ts");
      await boot(mockCloudClient(config.socket), request("podvm-a"));
      // As if it had escaped the end of its machine room.
      const stray = spawn("sleep", ["86400"], {
        stdio: "ignore",
        env: { PEERPOD_GUEST_VM: `${config.instance}/i-0123456789abcdef` },
      });
      undo.defer(() => endProcess(stray));
      if (!rootless) {
        const group = join("/sys/fs/cgroup/pids", `peerpod-mock-${config.instance}`, "i-0123456789abcdef");
        await mkdir(group, { recursive: true });
        await writeFile(join(group, "cgroup.procs"), `${stray.pid}`);
      }
      const ended = once(stray, "exit");
      await endProcess(child);

      const next = await startOn(config);
      try {
        expect(await next.inventory()).toEqual([]);
        expect(await ended).toEqual([null, "SIGKILL"]);
      } finally {
        await next.close();
      }
    },
  );
}

/** A machine room on a given configuration in a node network that ends with the command. */
async function startOn(config: Parameters<typeof runMockCloud>[0]): ReturnType<typeof runMockCloud> {
  const holder = spawn("unshare", ["--net", "sleep", "86400"], { stdio: "ignore" });
  const room = await runMockCloud(config, {
    clock: systemClock,
    exec: systemExec,
    log: silentLog,
    networkExec: {
      run: ([file, ...args], options) =>
        systemExec.run(["nsenter", `--net=/proc/${holder.pid}/ns/net`, file, ...args], options),
    },
  });
  return {
    ...room,
    async close() {
      await room.close();
      await endProcess(holder);
    },
  };
}

const whenRoot = test.skipIf(!canMakeNamespaces);

whenRoot(
  "a VM of namespaces sees its own name, network, processes and files, and leaves none on the host (needs root)",
  async () => {
    await using room = await startTestRoom({
      rootless: false,
      imageScript: [
        "echo host=$(hostname) procs=$(ls /proc | grep -c '^[0-9]') run=$(ls /run | wc -l) self=$$",
        "ls /sys/class/net | tr '\\n' ' '; ip route; grep -c . /proc/self/cgroup; cat /proc/self/cgroup",
        "touch /run/left /tmp/left-by-$(hostname) /etc/left-by-$(hostname) /left-by-$(hostname) && echo written",
        "mkdir /run/netns && ip netns add podns && ip netns exec podns ip -br link | head -1",
        "echo done; exec sleep 86400",
      ].join("\n"),
    });
    const { id, name, addresses } = await boot(room.client, request("podvm-own", { interfaces: 2 }));
    const seen = await consoleWith(room.client, id, "done");
    expect(seen).toContain(`host=${name}`);
    expect(Number(/procs=(\d+)/.exec(seen)?.[1])).toBeLessThan(10);
    expect(Number(/self=(\d+)/.exec(seen)?.[1])).toBeGreaterThan(1);
    expect(seen).toContain("run=0");
    expect(seen).toContain("eth0 eth1 lo");
    expect(seen).toContain("default via 10.77.0.1 dev eth0");
    expect(seen).toMatch(/:\/$/m);
    expect(seen).toContain("written");
    expect(addresses).toHaveLength(2);
    for (const path of [`/tmp/left-by-${name}`, `/etc/left-by-${name}`, `/left-by-${name}`])
      await expect(stat(path)).rejects.toThrow("ENOENT");
  },
);

whenRoot("orphans in a VM are reaped by its init, and the image is not process 1 (needs root)", async () => {
  await using room = await startTestRoom({
    rootless: false,
    imageScript:
      "for i in 1 2 3; do (sh -c 'sleep 0.01' &); done; sleep 0.2; grep -l 'State:.Z' /proc/[0-9]*/status; echo checked $$; sleep 86400",
  });
  const { id } = await boot(room.client, request("podvm-a"));
  const seen = await consoleWith(room.client, id, "checked");
  expect(seen).not.toContain("/proc/");
});

whenRoot(
  "a reset link ends the worker's connections, a downed one silences them, and both can be mended (needs root)",
  async () => {
    await using room = await startTestRoom({ rootless: false, imageScript: listening('"0.0.0.0"') });
    const vm = await boot(room.client, request("podvm-a"));
    await consoleWith(room.client, vm.id, "listening");
    // Exits when it is connected (`reach`), or when the connection ends (`stay`), or after the given silence.
    const dial = `const [wish, silenceMs] = process.argv.slice(1);
    const s = require("net").connect(15150, "${vm.addresses[0]}");
    s.setTimeout(Number(silenceMs), () => { console.log("silent"); process.exit(); });
    s.on("connect", () => { console.log("connected"); if (wish === "reach") process.exit(); });
    s.on("error", (e) => console.log(e.code));
    s.on("close", () => process.exit());`;
    const dialled = async (wish: "reach" | "stay", silenceMs: number): Promise<string> =>
      (await room.nodeExec.run([process.execPath, "-e", dial, wish, `${silenceMs}`])).stdout;

    const dialling = dialled("stay", 60_000);
    await until(
      () => room.nodeExec.run(["ss", "-Htn", "state", "established", "dport", "=", ":15150"]),
      ({ stdout }) => stdout !== "",
    );
    await room.client.act(vm.id, { action: "link-reset" }, signal);
    expect(await dialling).toMatch(/connected\n(ECONNRESET|$)/);

    await room.client.act(vm.id, { action: "link-down" }, signal);
    expect(await dialled("reach", 100)).not.toContain("connected");
    await room.client.act(vm.id, { action: "link-up" }, signal);
    expect(await dialled("reach", 60_000)).toContain("connected");

    await room.client.act(vm.id, { action: "link-loss", percent: 100 }, signal);
    expect(await dialled("reach", 100)).toBe("silent\n");
    await room.client.act(vm.id, { action: "link-loss", percent: 0 }, signal);
    expect(await dialled("reach", 60_000)).toContain("connected");
  },
);

whenRoot(
  "a bridge of somebody else is not touched: the machine room refuses to start (needs root)",
  async () => {
    await using room = await startTestRoom({ rootless: false });
    const other = { ...room.config, socket: `${room.config.socket}2`, instance: `${room.config.instance}-b` };
    const deps = { clock: systemClock, exec: systemExec, log: silentLog, networkExec: room.nodeExec };
    await expect(runMockCloud(other, deps)).rejects.toMatchObject({ kind: "invalid-config" });
    expect((await room.nodeExec.run(["ip", "link", "show", room.config.bridge])).code).toBe(0);
  },
);

test("the API's socket is for this user only, and a second machine room on it is refused", async () => {
  await using room = await startTestRoom({ rootless: true });
  const vm = await boot(room.client, request("podvm-a"));
  expect((await stat(room.config.socket)).mode & 0o777).toBe(0o600);
  const deps = { clock: systemClock, exec: systemExec, log: silentLog };
  await expect(runMockCloud(room.config, deps)).rejects.toMatchObject({ kind: "invalid-config" });
  expect((await room.client.get(vm.id, signal)).lifecycle).toBe("running");
});

test("a create whose client leaves before the answer is carried out", async () => {
  await using room = await startTestRoom({ rootless: true });
  const body = JSON.stringify(request("podvm-a"));
  const socket = connect(room.config.socket);
  socket.end(
    `POST /v1/vms HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    () => socket.destroy(),
  );
  const { vms } = await until(
    () => room.client.list({ tags: {}, names: ["podvm-a"], after: undefined }, signal),
    (page) => page.vms.length > 0,
  );
  expect(vms).toHaveLength(1);
});

test("a client that leaves in the middle of its request changes nothing", async () => {
  await using room = await startTestRoom({ rootless: true });
  const socket = connect(room.config.socket);
  socket.write('POST /v1/vms HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"name":');
  await once(socket, "connect");
  socket.destroy();
  await once(socket, "close");
  expect((await room.client.status(signal)).vms).toBe(0);
});

test("what the API cannot use is refused with the field's name", async () => {
  await using room = await startTestRoom({ rootless: true });
  const refused = async (promise: Promise<unknown>): Promise<string> => {
    const error: unknown = await promise.catch((reason: unknown) => reason);
    if (!(error instanceof ApiError)) throw new Error("expected an ApiError", { cause: error });
    return `${error.kind}: ${error.message}`;
  };
  const { client } = room;
  expect(await refused(client.create(request("Not A Name"), signal))).toContain("invalid: name");
  expect(await refused(client.create(request("a", { image: { name: "../sh" } }), signal))).toContain(
    "image name",
  );
  expect(await refused(client.create(request("a", { image: { name: "none" } }), signal))).toContain(
    "is not there",
  );
  expect(await refused(client.create(request("a", { interfaces: 9 }), signal))).toContain("interfaces");
  expect(await refused(client.settings({ quota: -1 }, signal))).toContain("quota");
  expect(await refused(client.get("i-none", signal))).toContain("not-found");
  expect(await refused(client.act("i-none", { action: "kill" }, signal))).toContain("not-found");
});

test("the quota counts VMs until they are gone", async () => {
  await using room = await startTestRoom({ rootless: true, settings: { quota: 1 } });
  const { id } = await boot(room.client, request("podvm-a"));
  await expect(room.client.create(request("podvm-b"), signal)).rejects.toMatchObject({ kind: "quota" });
  await gone(room.client, id);
  expect((await boot(room.client, request("podvm-b"))).lifecycle).toBe("running");
});

test("tags and addresses come as late as the settings say", async () => {
  await using room = await startTestRoom({
    rootless: true,
    settings: { tagDelayMs: 60_000, addressDelayMs: 60_000 },
  });
  const { id } = await room.client.create(request("podvm-a", { tags: { k: "v" } }), signal);
  const vm = await until(
    () => room.client.get(id, signal),
    ({ lifecycle }) => lifecycle === "running",
  );
  expect(vm).toMatchObject({ addresses: [], tags: {} });
  const { vms } = await room.client.list({ tags: { k: "v" }, names: [], after: undefined }, signal);
  expect(vms).toEqual([]);
});
