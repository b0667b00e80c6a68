import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { chooseAccel } from "../../providers/kvm/accel.ts";
import { macOf } from "../../providers/kvm/record.ts";
import { testConfig } from "../../providers/kvm/testing.ts";
import { silentLog, systemClock } from "../../src/platform/index.ts";
import { kvmHarness } from "./kvm-harness.ts";
import { whyNoVms } from "./prepare.ts";
import { KEY_MARK, never, OWNER, quietly, vmRequest } from "./requests.ts";
import { kvmProcesses } from "./residue.ts";

const reason = whyNoVms();
const isQemu = ({ name }: { readonly name: string }): boolean => name.includes("qemu");
const statusOf = (pid: number, key: string): string =>
  new RegExp(`^${key}:\\s+(\\S+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";

describe.skipIf(reason !== undefined)(`a VM as a QEMU process (${reason ?? "real QEMU"})`, () => {
  test("boots its image, and its console is kept", async () => {
    await using kvm = await kvmHarness();
    const provider = kvm.with({});
    const vm = await provider.create(vmRequest(), quietly);
    while (!(await provider.console(vm, never)).includes("booted")) await systemClock.sleep(20);
  });

  test("is nobody's child, so that it outlives who made it, and has no rights to start programs", async () => {
    await using kvm = await kvmHarness();
    await kvm.with({}).create(vmRequest(), quietly);
    const [qemu] = kvmProcesses(kvm.dir).filter(isQemu);
    const pid = qemu?.pid ?? 0;
    expect(statusOf(pid, "PPid")).not.toBe(`${process.pid}`);
    expect(execFileSync("ps", ["-o", "sid=", "-p", `${pid}`], { encoding: "utf8" }).trim()).toBe(`${pid}`);
    // 2: a filter of system calls.
    expect(statusOf(pid, "Seccomp")).toBe("2");
  });

  test("has its keys in one file that nobody else may read, in no command line, and in nothing after it", async () => {
    await using kvm = await kvmHarness();
    const provider = kvm.with({});
    const vm = await provider.create(vmRequest(), quietly);
    const folder = join(kvm.dir, "vms", vm.name);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    const holders = readdirSync(folder).filter(
      (name) => statSync(join(folder, name)).isFile() && readFileSync(join(folder, name)).includes(KEY_MARK),
    );
    expect(holders).toEqual(["cidata.iso"]);
    expect(statSync(join(folder, "cidata.iso")).mode & 0o777).toBe(0o600);
    for (const { pid } of kvmProcesses(kvm.dir))
      expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).not.toContain(KEY_MARK);
    await provider.delete(vm, never);
    expect(existsSync(folder)).toBe(false);
    expect(await kvm.cloud.resources()).toEqual([]);
  });

  test("that was killed is seen as failed, and deleting it leaves nothing", async () => {
    await using kvm = await kvmHarness();
    const provider = kvm.with({});
    const request = vmRequest();
    const vm = await provider.create(request, quietly);
    for (const { pid } of kvmProcesses(kvm.dir).filter(isQemu)) process.kill(pid, "SIGKILL");
    const isDead = async (): Promise<boolean> => (await provider.get(vm, never))?.lifecycle !== "running";
    while (!(await isDead())) await systemClock.sleep(20);
    expect(await provider.get(vm, never)).toMatchObject({ lifecycle: "failed" });
    await expect(provider.create(request, quietly)).rejects.toMatchObject({ kind: "unavailable" });
    await provider.delete({ name: vm.name }, never);
    expect(await kvm.cloud.resources()).toEqual([]);
  });

  test.each(["claim", "start"] as const)(
    "is not made of half of what its maker had to say when it was killed in %s",
    async (script) => {
      await using kvm = await kvmHarness();
      const provider = kvm.with({});
      const request = vmRequest();
      kvm.host.cutInputOf = script;
      await expect(provider.create(request, quietly)).rejects.toMatchObject({ kind: "unavailable" });
      expect(kvmProcesses(kvm.dir).filter(isQemu)).toEqual([]);
      expect(await provider.create(request, quietly)).toMatchObject({ lifecycle: "running" });
    },
  );

  test("over what the operator allows is refused as quota, over what the host has as capacity", async () => {
    await using kvm = await kvmHarness();
    const provider = kvm.with({ maxMemoryMiB: 150 });
    expect(await provider.quota(never)).toBe(1);
    await provider.create(vmRequest(), quietly);
    expect(await provider.quota(never)).toBe(0);
    await expect(provider.create(vmRequest(), quietly)).rejects.toMatchObject({ kind: "quota" });
    const huge = { machineType: "1x99999999", vcpus: 0, memoryMiB: 0, gpus: 0 };
    await expect(kvm.with({}).create(vmRequest({ size: huge }), quietly)).rejects.toMatchObject({
      kind: "capacity",
    });
  });

  test("of an image that is not there, or that a pod may not name, is refused by name", async () => {
    await using kvm = await kvmHarness();
    await expect(kvm.with({}).create(vmRequest({ image: "other" }), quietly)).rejects.toThrow(/other/);
    await expect(
      kvm.with({}).create(vmRequest({ image: "../../etc/passwd" }), quietly),
    ).rejects.toMatchObject({
      kind: "invalid-request",
    });
  });

  test("that is asked to be confidential is refused where the host cannot do that", async () => {
    await using kvm = await kvmHarness();
    const provider = kvm.with({ accel: "kvm", launchSecurity: { kind: "s390-pv" } });
    await expect(provider.create(vmRequest(), quietly)).rejects.toMatchObject({ kind: "unsupported" });
    const findings = await provider.verify(never);
    expect(findings).toContainEqual(
      expect.objectContaining({ check: "KVM_LAUNCH_SECURITY", level: "error" }),
    );
    expect(kvmProcesses(kvm.dir)).toEqual([]);
  });
});

describe.skipIf(reason !== undefined)(`the VMs' network (${reason ?? "real QEMU"})`, () => {
  test("gives a VM the address that was chosen, by DHCP, as the stock image asks for it", async () => {
    await using kvm = await kvmHarness();
    const vm = await kvm.with({}).create(vmRequest(), quietly);
    const [address = ""] = vm.addresses;
    const ip = (...args: string[]): string =>
      execFileSync("nsenter", [...kvm.inside.slice(1), "ip", ...args], { encoding: "utf8" });
    // The sleeper asks nobody: a port of our own does, with the VM's hardware address.
    ip("link", "add", "asker", "address", macOf(address), "type", "veth", "peer", "name", "port");
    ip("link", "set", "port", "master", "ppkbr0", "up");
    ip("link", "set", "asker", "up");
    const script = join(kvm.dir, "print");
    writeFileSync(script, '#!/bin/sh\n[ "$1" = bound ] && echo "$ip $router $dns"\nexit 0\n', {
      mode: 0o755,
    });
    const flags = ["-i", "asker", "-n", "-q", "-f", "-t", "10", "-s", script];
    const answer = execFileSync("nsenter", [...kvm.inside.slice(1), "busybox", "udhcpc", ...flags], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    expect(answer.trim()).toBe(`${address} 10.177.0.1 10.177.0.1`);
    rmSync(script);
    ip("link", "del", "port");
  });

  test("on a bridge of somebody else's has nothing of ours but the VM's port", async () => {
    await using kvm = await kvmHarness();
    const ip = (...args: string[]): string =>
      execFileSync("nsenter", [...kvm.inside.slice(1), "ip", ...args], { encoding: "utf8" });
    ip("link", "add", "ppkbr0", "type", "bridge");
    const provider = kvm.with({});
    const vm = await provider.create(vmRequest(), quietly);
    expect(ip("-4", "-o", "address", "show", "dev", "ppkbr0")).toBe("");
    expect(kvmProcesses(kvm.dir).filter((each) => !isQemu(each))).toEqual([]);
    await provider.delete(vm, never);
    expect(ip("-o", "link", "show", "dev", "ppkbr0")).toContain("ppkbr0");
  });
});

describe.skipIf(reason !== undefined)(`KVM or software emulation (${reason ?? "real QEMU"})`, () => {
  test("is found out by a boot, once for each boot of the host", async () => {
    await using kvm = await kvmHarness();
    const config = testConfig({ dir: kvm.dir, accel: "auto" });
    const deps = { clock: systemClock, log: silentLog, owner: OWNER, config, host: kvm.host };
    const context = { what: "trying", signal: never };
    const choice = await chooseAccel(deps, "x86_64", context);
    expect(choice.accel === "kvm" ? choice.reason : (choice.reason ?? "")).not.toBe("");
    const remembered = join(kvm.dir, "accel");
    const [boot = ""] = readFileSync(remembered, "utf8").split(" ");
    writeFileSync(remembered, `${boot} tcg as it was remembered\n`);
    expect(await chooseAccel(deps, "x86_64", context)).toEqual({
      accel: "tcg",
      reason: "as it was remembered",
    });
    writeFileSync(remembered, "another-boot tcg as it was remembered\n");
    expect(await chooseAccel(deps, "x86_64", context)).toEqual(choice);
  });
});
