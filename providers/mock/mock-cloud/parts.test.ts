import { describe, expect, test } from "vitest";
import type { OptionReader } from "../../contract.ts";
import { AddressPool, parseSubnet, type Subnet } from "./addresses.ts";
import { MOCK_CLOUD_OPTIONS, readMockCloudConfig } from "./config.ts";
import { ConsoleBuffer } from "./console-buffer.ts";
import { Faults } from "./faults.ts";
import { cgroupMounts, parseMountInfo, planRootFileSystem } from "./root-file-system.ts";

describe("addresses", () => {
  const subnet = (text: string): Subnet => parseSubnet(text) ?? expect.unreachable(`${text} is a subnet`);

  test("every usable address is given once, the gateway's and the broadcast's never", () => {
    const pool = new AddressPool(subnet("10.0.0.9/29"));
    const given = Array.from({ length: 5 }, () => pool.take());
    expect(given).toEqual(["10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.14"]);
    expect(pool.gateway).toBe("10.0.0.9");
    expect(() => pool.take()).toThrow(/in use/);
  });

  test("an address that was given back is used again last", () => {
    const pool = new AddressPool(subnet("10.0.0.0/29"));
    const first = pool.take();
    pool.release(first);
    const next = Array.from({ length: 5 }, () => pool.take());
    expect(next.indexOf(first)).toBe(4);
  });

  test.each([
    "10.0.0.0",
    "10.0.0.0/7",
    "10.0.0.0/30",
    "10.0.0/24",
    "10.0.0.256/24",
    "x/24",
    "10.0.0.0/24/1",
    "",
  ])("%j is no subnet", (text) => expect(parseSubnet(text)).toBeUndefined());
});

describe("console", () => {
  test("keeps the newest bytes within its limit, however they were written", () => {
    const buffer = new ConsoleBuffer(10);
    for (let index = 0; index < 100; index += 1) buffer.write(Buffer.from(`${index}\n`));
    expect(buffer.text()).toBe("6\n97\n98\n99\n".slice(-10));
    buffer.write(Buffer.alloc(1000, "x"));
    expect(buffer.text()).toBe("x".repeat(10));
  });
});

describe("faults", () => {
  test("hit as many calls as asked, of that operation, after those let through", () => {
    const faults = new Faults();
    faults.arm({ operation: "get", kind: "quota", skip: 1, count: 2 });
    const met = (["get", "list", "get", "get", "get"] as const).map((name) => faults.meet(name, 0)?.kind);
    expect(met).toEqual([undefined, undefined, "quota", "quota", undefined]);
    expect(faults.calls.map(({ fault }) => fault)).toEqual(met);
  });
});

describe("the root file system", () => {
  const mounts = parseMountInfo(
    [
      "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
      "23 22 0:20 / /proc rw - proc proc rw",
      "24 22 0:21 / /sys rw - sysfs sysfs rw",
      "25 24 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755",
      "26 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct",
      "27 25 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd",
      "28 22 0:31 / /run rw - tmpfs tmpfs rw",
      "29 28 0:4 net:[1] /run/netns/a rw - nsfs nsfs rw",
      "30 22 0:32 / /srv/check\\040out rw - ext4 /dev/vdb rw",
      "31 22 0:33 / /data rw - xfs /dev/vdc rw",
      "33 22 0:40 / /var/lib/containers/storage/overlay/x/merged rw - overlay overlay rw",
      "32 22 254:0 /x /etc/hosts rw - ext4 /dev/vda rw",
    ].join("\n"),
  );
  const plan = planRootFileSystem("/state/vm", mounts, (path) => path !== "/etc/hosts");

  test("folders that are mounted on the host become overlays, files read-only binds", () => {
    expect(plan.fstab).toContain(
      "overlay /state/vm/disk/root overlay lowerdir=/,upperdir=/state/vm/disk/layer1/upper,",
    );
    expect(plan.extraFstab).toContain("overlay /state/vm/disk/root/data overlay lowerdir=/data,");
    expect(plan.extraFstab).toContain("/etc/hosts /state/vm/disk/root/etc/hosts none bind,ro 0 0");
    expect(plan.directories).toContain("layer1/work");
  });

  test("nothing of the host's /run or of its containers is brought in", () => {
    expect(plan.extraFstab).not.toMatch(/netns|containers/);
    expect(plan.fstab).not.toContain("netns");
    expect(plan.fstab.match(/disk\/root\/run /g)).toHaveLength(1);
  });

  test("each cgroup hierarchy is mounted again with its own controllers", () => {
    expect(cgroupMounts(mounts).map(({ target }) => target)).toEqual([
      "/sys/fs/cgroup/cpu,cpuacct",
      "/sys/fs/cgroup/systemd",
    ]);
    expect(plan.fstab).toContain("/sys/fs/cgroup/cpu,cpuacct cgroup X-mount.mkdir,cpu,cpuacct 0 0");
    expect(plan.fstab).toContain("/sys/fs/cgroup/systemd cgroup X-mount.mkdir,none,name=systemd 0 0");
  });

  test("on a machine with cgroup v2 alone the one hierarchy is mounted", () => {
    const unified = parseMountInfo(
      "1 0 0:1 / / rw - ext4 /dev/vda rw\n2 1 0:2 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    );
    const { fstab } = planRootFileSystem("/state/vm", unified, () => true);
    expect(fstab).toContain("cgroup2 /state/vm/disk/root/sys/fs/cgroup cgroup2");
    expect(fstab).not.toContain("tmpfs /state/vm/disk/root/sys/fs/cgroup");
  });
});

describe("configuration", () => {
  const reader = (values: Readonly<Record<string, string>>): OptionReader => {
    const text = (flag: string): string =>
      values[flag] ?? MOCK_CLOUD_OPTIONS.find((option) => option.flag === flag)?.default ?? "";
    return {
      string: text,
      secret: () => undefined,
      int: (flag) => Number(text(flag)),
      bool: (flag) => text(flag) === "true",
      list: () => [],
      tags: () => ({}),
      durationMs: () => undefined,
    };
  };

  test("machine rooms on different sockets have different names and folders", () => {
    const one = readMockCloudConfig(reader({ socket: "/run/a/cloud.sock" }));
    const two = readMockCloudConfig(reader({ socket: "/run/b/cloud.sock" }));
    expect(one.instance).not.toBe(two.instance);
    expect(one.stateDir).toBe(`/run/a/${one.instance}`);
    expect(readMockCloudConfig(reader({ socket: "/run/a/cloud.sock" })).instance).toBe(one.instance);
  });

  test.each([
    ["socket", "relative.sock"],
    ["socket", "/run/with space"],
    ["instance", "Not_Ok"],
    ["bridge", "much-too-long-a-name"],
    ["subnet", "10.0.0.0/31"],
    ["rootless-subnet", "10.0.0.0/24"],
    ["rootless", "maybe"],
    ["quota", "-1"],
    ["page-size", "0"],
  ])("-%s %s is refused with what to give", (flag, value) => {
    const option = MOCK_CLOUD_OPTIONS.find((candidate) => candidate.flag === flag);
    expect(option?.validate?.(value)).toMatch(/^give /);
  });
});
