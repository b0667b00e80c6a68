import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  CopyFileRequest,
  DestroySandboxRequest,
  StatsContainerRequest,
} from "../../../src/gen/agent/agent.ts";
import { TestPod } from "./test-pod.ts";
import { bootTestVm, type TestVm } from "./test-vm.ts";

describe("a guest without root", () => {
  let vm: TestVm;
  let pod: TestPod;

  beforeAll(async () => {
    vm = await bootTestVm({ rootless: true });
    pod = new TestPod(await vm.connect());
    await pod.createSandbox();
    await pod.run("pause", ["/pause"], { isPause: true });
  });

  afterAll(async () => {
    await vm[Symbol.asyncDispose]();
  });

  test("runs a container as a plain process: output, exec's exit code, signals", async () => {
    await pod.run("c1", ["sh", "-c", "echo hello $NAME; trap 'exit 3' TERM; while :; do sleep 0.1; done"], {
      process: { Env: ["PATH=/usr/bin:/bin", "NAME=world"] },
    });
    expect(await pod.readUntil("c1", "c1", "\n")).toBe("hello world\n");
    expect(await pod.execToEnd("c1", ["sh", "-c", "echo err >&2; exit 7"])).toEqual({
      stdout: "",
      stderr: "err\n",
      code: 7,
    });
    const { cgroupStats } = await pod.agent.statsContainer(
      StatsContainerRequest.create({ containerId: "c1" }),
    );
    expect(cgroupStats?.memoryStats?.usage?.usage).toBeGreaterThan(0n);
    await pod.signal("c1", "c1", 15);
    expect(await pod.wait("c1", "c1")).toBe(3);
    await pod.remove("c1");
  });

  test("passes input on and kills all processes of a container", async () => {
    await pod.run("c2", ["cat"]);
    await pod.write("c2", "c2", "x\n");
    expect(await pod.readUntil("c2", "c2", "\n")).toBe("x\n");
    const second = await pod.exec("c2", ["sleep", "1000"]);
    await pod.signal("c2", "", 9);
    expect(await Promise.all([pod.wait("c2", "c2"), pod.wait("c2", second)])).toEqual([137, 137]);
    await pod.remove("c2");
  });

  test("finds a command that only the image has", async () => {
    await pod.create("c3", ["busybox", "true"]);
    const inImage = existsSync(join(vm.folder, "root/run/kata-containers/c3/rootfs/bin/busybox"));
    if (inImage) await expect(pod.start("c3")).resolves.toBeUndefined();
    else await expect(pod.start("c3")).rejects.toThrow("busybox");
    await pod.remove("c3");
  });

  test("copies files below its own folder and refuses to leave it", async () => {
    const path = "/run/kata-containers/shared/containers/file";
    const piece = (offset: bigint, data: string, to = path) =>
      pod.agent.copyFile(
        CopyFileRequest.create({
          path: to,
          fileSize: 6n,
          fileMode: 0o100640,
          dirMode: 0o750,
          offset,
          data: Buffer.from(data),
        }),
      );
    const target = join(vm.folder, "root", path);
    await piece(0n, "abc");
    expect(existsSync(target)).toBe(false);
    await piece(3n, "def");
    expect(await readFile(target, "utf8")).toBe("abcdef");
    for (const bad of ["/etc/passwd", `${path}/../../../x`, "/run/kata-containers/shared/containers"]) {
      await expect(piece(0n, "abcdef", bad)).rejects.toMatchObject({ code: 3 });
    }
  });

  test("leaves no process and no container behind after DestroySandbox", async () => {
    await pod.run("c4", ["sleep", "1000"]);
    await pod.agent.destroySandbox(DestroySandboxRequest.create());
    await expect(pod.wait("c4", "c4")).rejects.toMatchObject({ code: 3, message: "InvalidContainerId" });
    expect(existsSync(join(vm.folder, "root/run/kata-containers/c4"))).toBe(false);
  });
});
