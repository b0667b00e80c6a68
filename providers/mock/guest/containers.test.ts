import { once } from "node:events";
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  CopyFileRequest,
  DestroySandboxRequest,
  GetOOMEventRequest,
  PauseContainerRequest,
  ResumeContainerRequest,
  StatsContainerRequest,
  TtyWinResizeRequest,
  UpdateContainerRequest,
} from "../../../src/gen/agent/agent.ts";
import { rewriteCreateContainer } from "../../../src/shim-proxy/create-container.ts";
import { BUSYBOX_PATH } from "./make-image.ts";
import { TestPod } from "./test-pod.ts";
import { bootTestVm, canRunContainers, type TestVm } from "./test-vm.ts";

const ready = canRunContainers && existsSync(BUSYBOX_PATH);
const SHARED = "/run/kata-containers/shared/containers";

describe.skipIf(!ready)("containers in the VM (needs root, runc, busybox-static)", () => {
  let vm: TestVm;
  let pod: TestPod;

  beforeAll(async () => {
    vm = await bootTestVm();
    pod = new TestPod(await vm.connect());
    await pod.createSandbox("pod-host");
    await pod.run("pause", ["/pause"], { isPause: true });
  });

  afterAll(async () => {
    await vm[Symbol.asyncDispose]();
  });

  test("environment, working directory, user, groups and capabilities are those that were asked for", async () => {
    const ended = await pod.runToEnd(
      "c-env",
      ["sh", "-c", "pwd; echo $COLOUR; id; grep CapEff /proc/self/status"],
      {
        process: {
          Env: ["PATH=/bin", "COLOUR=green"],
          Cwd: "/tmp",
          User: { UID: 1000, GID: 1001, AdditionalGids: [5, 6] },
          Capabilities: { Bounding: ["CAP_NET_RAW"] },
        },
      },
    );
    expect(ended.stdout.split("\n")).toEqual([
      "/tmp",
      "green",
      "uid=1000 gid=1001 groups=5,6",
      "CapEff:\t0000000000000000",
      "",
    ]);
    expect(ended.code).toBe(0);
  });

  test("a container with a read-only root cannot write, and one without can", async () => {
    const write = ["sh", "-c", "echo x > /etc/new && cat /etc/new"];
    const refused = await pod.runToEnd("c-ro", write, { readonlyRoot: true });
    expect(refused.stderr).toContain("Read-only file system");
    expect((await pod.runToEnd("c-rw", write)).stdout).toBe("x\n");
  });

  test("input is passed on until it is closed", async () => {
    await pod.run("c-in", ["cat"]);
    expect(await pod.write("c-in", "c-in", "one\n")).toBe(4);
    expect(await pod.readUntil("c-in", "c-in", "one\n")).toBe("one\n");
    await pod.write("c-in", "c-in", "two\n");
    await pod.closeStdin("c-in", "c-in");
    expect(await pod.ended("c-in", "c-in")).toEqual({ stdout: "two\n", stderr: "", code: 0 });
    await pod.remove("c-in");
  });

  test("two who wait for one process get its code, and one who asks later gets InvalidExecId", async () => {
    await pod.run("c-wait", ["sleep", "1000"]);
    const waiting = [pod.wait("c-wait", "c-wait"), pod.wait("c-wait", "c-wait")];
    await pod.signal("c-wait", "", 9);
    expect(await Promise.all(waiting)).toEqual([137, 137]);
    await expect(pod.wait("c-wait", "c-wait")).rejects.toMatchObject({ code: 5, message: "InvalidExecId" });
    await expect(pod.wait("c-wait", "")).rejects.toMatchObject({ code: 5, message: "InitProcessNotFound" });
    await expect(pod.wait("nobody", "")).rejects.toMatchObject({ code: 3, message: "InvalidContainerId" });
    await pod.remove("c-wait");
  });

  test("SIGTERM reaches a handler; a first process without one is killed", async () => {
    await pod.run("c-term", ["sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done"]);
    await pod.readUntil("c-term", "c-term", "up");
    await pod.signal("c-term", "c-term", 15);
    expect(await pod.wait("c-term", "c-term")).toBe(3);
    await pod.remove("c-term");
    await pod.run("c-deaf", ["sleep", "1000"]);
    await pod.signal("c-deaf", "", 15);
    expect(await pod.wait("c-deaf", "c-deaf")).toBe(137);
    await pod.remove("c-deaf");
  });

  test("100 MB of output arrive whole, and a writer whom nobody reads is held", async () => {
    const bytes = 100 * 1024 * 1024;
    await pod.run("c-big", ["sh", "-c", `head -c ${bytes} /dev/zero; echo done >&2`]);
    let stderr = "";
    const done = pod.read("readStderr", "c-big", "c-big").then((text) => {
      stderr = text;
    });
    let seen = (await pod.read("readStdout", "c-big", "c-big")).length;
    expect(stderr).toBe("");
    for (;;) {
      const piece = await pod.read("readStdout", "c-big", "c-big");
      if (piece === "") break;
      seen += piece.length;
    }
    expect(seen).toBe(bytes);
    await done;
    expect(stderr).toBe("done\n");
    expect(await pod.wait("c-big", "c-big")).toBe(0);
    await pod.remove("c-big");
  });

  test("a read that its caller abandoned swallows the next output, as in the real agent", async () => {
    const echo = "while read line; do echo got $line; echo seen >&2; done";
    await pod.run("c-lost", ["sh", "-c", echo]);
    const second = await vm.connect();
    const abandoned = new TestPod(second).read("readStdout", "c-lost", "c-lost");
    await expect(second.health.check({ service: "" })).resolves.toMatchObject({ status: 1 });
    const closed = once(second.socket, "close");
    second.socket.destroy();
    await closed;
    await expect(abandoned).rejects.toThrow();
    let rest = "";
    const reading = pod.read("readStdout", "c-lost", "c-lost").then((text) => {
      rest = text;
    });
    for (let line = 1; rest === ""; line += 1) {
      await pod.write("c-lost", "c-lost", `line-${line}\n`);
      await pod.read("readStderr", "c-lost", "c-lost");
    }
    await reading;
    expect(rest).toMatch(/^got line-[2-9]/);
    await pod.signal("c-lost", "", 9);
    await pod.wait("c-lost", "c-lost");
    await pod.remove("c-lost");
  });

  test("a command that is not in the image fails to start, naming it; exec likewise", async () => {
    await pod.create("c-none", ["no-such-command"]);
    await expect(pod.start("c-none")).rejects.toThrow(/no-such-command.*executable file not found/);
    await pod.remove("c-none");
    await pod.run("c-exec", ["sleep", "1000"]);
    await expect(pod.exec("c-exec", ["no-such-command"])).rejects.toThrow(/no-such-command/);
    expect(await pod.execToEnd("c-exec", ["sh", "-c", "echo out; echo err >&2; exit 9"])).toEqual({
      stdout: "out\n",
      stderr: "err\n",
      code: 9,
    });
    await pod.remove("c-exec");
  });

  test("an image that no layout has fails to be pulled, naming those there are", async () => {
    await expect(pod.create("c-image", ["sh"], { image: "example.org/none:1" })).rejects.toThrow(
      /failed to pull image example.org\/none:1.*docker.io\/library\/busybox:latest/,
    );
    expect((await pod.runToEnd("c-image", ["echo", "again"])).stdout).toBe("again\n");
  });

  test("containers of a pod share its hostname and, if asked for, its processes", async () => {
    expect((await pod.runToEnd("c-uts", ["hostname"])).stdout).toBe("test-pod\n");
    const shared = await pod.runToEnd("c-pids", ["sh", "-c", "cat /proc/1/cmdline"], { sharedPidns: true });
    expect(shared.stdout).toContain("trap");
    const own = await pod.runToEnd("c-own", ["sh", "-c", "echo $$"]);
    expect(own.stdout).toBe("1\n");
  });

  test("an emptyDir is shared by two containers and outlives the restart of one", async () => {
    const storages = [
      {
        driver: "local",
        source: "local",
        fstype: "local",
        options: ["mode=0777"],
        mountPoint: "/run/kata-containers/sandbox/rootfs/local/scratch",
      },
    ];
    const mounts = [
      {
        destination: "/scratch",
        source: "/run/kata-containers/sandbox/rootfs/local/scratch",
        type: "bind",
        options: ["rbind", "rw"],
      },
    ];
    await pod.runToEnd("c-first", ["sh", "-c", "echo kept > /scratch/file"], { storages, mounts });
    const options = { storages, mounts };
    expect((await pod.runToEnd("c-second", ["cat", "/scratch/file"], options)).stdout).toBe("kept\n");
    expect((await pod.runToEnd("c-first", ["cat", "/scratch/file"], options)).stdout).toBe("kept\n");
  });

  test("a config map arrives by CopyFile, and its update is seen in the running container", async () => {
    const base = `${SHARED}/c-map-config`;
    const copy = (path: string, fileMode: number, data: string) =>
      pod.agent.copyFile(
        CopyFileRequest.create({
          path: `${base}/${path}`,
          fileSize: BigInt(data.length),
          fileMode,
          dirMode: 0o750,
          data: Buffer.from(data),
        }),
      );
    await copy("..2026_1/key", 0o100644, "first");
    await copy("..data", 0o120777, "..2026_1");
    await copy("key", 0o120777, "..data/key");
    const mounts = [{ destination: "/config", source: base, type: "bind", options: ["rbind", "ro"] }];
    await pod.run("c-map", ["sleep", "1000"], { mounts });
    expect((await pod.execToEnd("c-map", ["cat", "/config/key"])).stdout).toBe("first");
    await copy("..2026_2/key", 0o100644, "second");
    await copy("..data", 0o120777, "..2026_2");
    expect((await pod.execToEnd("c-map", ["cat", "/config/key"])).stdout).toBe("second");
    await pod.remove("c-map");
  });

  test("sysctls of the pod are set in its namespaces", async () => {
    const ended = await pod.runToEnd("c-sysctl", ["cat", "/proc/sys/kernel/msgmax"], {
      linux: { Sysctl: { "kernel.msgmax": "12345" } },
    });
    expect(ended.stdout).toBe("12345\n");
  });

  test("a paused container stands still, and an update changes its limit", async () => {
    await pod.run("c-pause", ["sh", "-c", "while :; do echo tick; sleep 0.05; done"]);
    await pod.readUntil("c-pause", "c-pause", "tick");
    await pod.agent.pauseContainer(PauseContainerRequest.create({ containerId: "c-pause" }));
    await pod.agent.resumeContainer(ResumeContainerRequest.create({ containerId: "c-pause" }));
    await pod.readUntil("c-pause", "c-pause", "tick");
    const resources = { Memory: { Limit: 67_108_864n } };
    await pod.agent.updateContainer(UpdateContainerRequest.create({ containerId: "c-pause", resources }));
    const { cgroupStats } = await pod.agent.statsContainer(
      StatsContainerRequest.create({ containerId: "c-pause" }),
    );
    expect(cgroupStats?.memoryStats?.usage?.limit).toBe(67_108_864n);
    await pod.remove("c-pause");
  });

  test("limits that the webhook took off a container are those of its cgroup, as the shim-proxy puts them back", async () => {
    const limits = { "c-limits": { cpuMillis: 1500, memoryBytes: 67_108_864 } };
    const look =
      "cd /sys/fs/cgroup; cat cpu.max memory.max 2>/dev/null || cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us memory/memory.limit_in_bytes";
    const ended = await pod.runToEnd("c-limits", ["sh", "-c", look], {
      mounts: [{ destination: "/sys/fs/cgroup", source: "cgroup", type: "cgroup", options: ["ro"] }],
      annotations: {
        "io.kubernetes.cri.container-name": "c-limits",
        "io.katacontainers.peerpods.limits": JSON.stringify(limits),
      },
      onTheWay: (payload) => rewriteCreateContainer(payload, [], () => undefined) ?? payload,
    });
    expect(ended.stdout.split(/\s+/)).toEqual(["150000", "100000", "67108864", ""]);
  });

  test("a process with a terminal has one, of the size it was given", async () => {
    await pod.run("c-tty", ["sh"], { process: { Terminal: true, ConsoleSize: { Height: 30, Width: 100 } } });
    await pod.write("c-tty", "c-tty", "test -t 0 && test -t 1 && echo is-a-$((40+2))\n");
    await pod.readUntil("c-tty", "c-tty", "is-a-42");
    const request = TtyWinResizeRequest.create({
      containerId: "c-tty",
      execId: "c-tty",
      row: 41,
      column: 123,
    });
    await pod.agent.ttyWinResize(request);
    await pod.write("c-tty", "c-tty", "stty size\n");
    await pod.readUntil("c-tty", "c-tty", "41 123");
    await pod.write("c-tty", "c-tty", "exit 4\n");
    expect(await pod.wait("c-tty", "c-tty")).toBe(4);
    await pod.remove("c-tty");
    await expect(
      pod.agent.ttyWinResize({ ...request, containerId: "pause", execId: "pause" }),
    ).rejects.toMatchObject({
      code: 14,
    });
  });

  test("exec with a terminal gets one too, which closing its input hangs up", async () => {
    await pod.run("c-tty-exec", ["sleep", "1000"]);
    const shell = await pod.exec("c-tty-exec", ["sh"], { Terminal: true });
    await pod.write("c-tty-exec", shell, "tty; exit 6\n");
    await pod.readUntil("c-tty-exec", shell, "/dev/pts/");
    expect(await pod.wait("c-tty-exec", shell)).toBe(6);
    const cat = await pod.exec("c-tty-exec", ["cat"], { Terminal: true });
    await pod.write("c-tty-exec", cat, "line\n");
    await pod.readUntil("c-tty-exec", cat, "line\r\n");
    await pod.closeStdin("c-tty-exec", cat);
    expect(await pod.wait("c-tty-exec", cat)).toBe(0);
    await pod.remove("c-tty-exec");
  });

  test("a container that runs out of memory is told as an event before its exit", async () => {
    const event = pod.agent.getOOMEvent(GetOOMEventRequest.create());
    await pod.run("c-oom", ["sh", "-c", "tail -c 200000000 /dev/zero"], {
      linux: {
        CgroupsPath: "/k8s.io/c-oom",
        Namespaces: [{ Type: "ipc" }, { Type: "uts" }, { Type: "mount" }],
        Resources: { Memory: { Limit: 16_777_216n } },
      },
    });
    const code = await pod.wait("c-oom", "c-oom");
    expect(code).toBe(137);
    expect(await event).toMatchObject({ containerId: "c-oom" });
    await pod.remove("c-oom");
  });

  test("a call that the agent does not have is answered 12, and nothing else notices", async () => {
    await expect(
      pod.connection.client.call("grpc.AgentService", "AddSwap", new Uint8Array(0)),
    ).rejects.toMatchObject({
      code: 12,
    });
  });

  test("DestroySandbox ends every container and the pending GetOOMEvent", async () => {
    const event = pod.agent.getOOMEvent(GetOOMEventRequest.create());
    const init = pod.wait("pause", "pause");
    init.catch(() => undefined);
    await pod.agent.destroySandbox(DestroySandboxRequest.create());
    await expect(event).rejects.toMatchObject({ code: 13, message: '""' });
    await expect(pod.wait("pause", "pause")).rejects.toMatchObject({ code: 3 });
  });
});
