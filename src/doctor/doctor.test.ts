import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FakeProvider } from "../../test/fakes/fake-provider.ts";
import { unavailable } from "../errors/index.ts";
import { Journal } from "../journal/index.ts";
import { type Exec, systemClock, systemExec } from "../platform/index.ts";
import {
  type Check,
  cloudChecks,
  examine,
  type Finding,
  failure,
  kernelChecks,
  nodeChecks,
  ok,
  portChecks,
  shimChecks,
} from "./index.ts";

const never = new AbortController().signal;
const isRoot = process.getuid?.() === 0;
let dir = "";

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "doctor-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const levels = (findings: readonly Finding[]): Record<string, string> =>
  Object.fromEntries(findings.map(({ check, level }) => [check, level]));

/** Answers every command in the same way. */
const answering = (answer: { code: number; stdout?: string; stderr?: string }): Exec => ({
  run: async () => ({ stdout: "", stderr: "", ...answer }),
});

describe("the kernel", () => {
  test.skipIf(!isRoot)("is tried for real, in a namespace of its own (needs root)", async () => {
    const findings = await examine([kernelChecks(systemExec, true)], never);
    expect(levels(findings)).toEqual({
      "kernel vxlan": "ok",
      "kernel tc redirect": "ok",
      "iptables raw table": "ok",
    });
  });

  test("that lacks a module is told with the kernel's own words and the module's name", async () => {
    const exec = answering({ code: 2, stderr: "Error: Unknown device type.\nmore" });
    const [vxlan] = await examine([kernelChecks(exec, true)], never);
    expect(vxlan).toMatchObject({ level: "error", text: "Error: Unknown device type." });
    expect(vxlan?.fix).toContain("modprobe vxlan");
  });

  test("is not judged without root", async () => {
    const findings = await examine([kernelChecks(answering({ code: 1 }), false)], never);
    expect(levels(findings)).toEqual({ kernel: "info" });
  });
});

describe("the VXLAN port", () => {
  const device = (external: boolean) =>
    JSON.stringify([
      { ifname: "flannel.1", linkinfo: { info_kind: "vxlan", info_data: { port: 4789, external } } },
    ]);

  test("that a CNI's tunnel takes whole is told with the device", async () => {
    const [finding] = await examine([portChecks(answering({ code: 0, stdout: device(true) }), 4789)], never);
    expect(finding).toMatchObject({ level: "error", text: expect.stringContaining("flannel.1") });
    expect(finding?.fix).toContain("VXLAN_PORT");
  });

  test("is free beside devices of single ids, and of other ports", async () => {
    const shared = answering({ code: 0, stdout: device(false) });
    expect(levels(await examine([portChecks(shared, 4789)], never))).toEqual({ "VXLAN port": "ok" });
    const other = answering({ code: 0, stdout: device(true) });
    expect(levels(await examine([portChecks(other, 4790)], never))).toEqual({ "VXLAN port": "ok" });
  });

  test("cannot be judged when iproute2 says what nobody expects", async () => {
    const odd = answering({ code: 0, stdout: '{"no":"list"}' });
    expect(levels(await examine([portChecks(odd, 4789)], never))).toEqual({ "VXLAN port": "warning" });
  });
});

describe("the node", () => {
  const places = () => ({
    hypervisorSocket: join(dir, "hypervisor.sock"),
    proxySocket: join(dir, "proxy.sock"),
    adminSocket: join(dir, "admin.sock"),
    runDir: dir,
    podsDir: "/run/peerpod/pods",
    stateDir: join(dir, "state"),
    criSocket: "",
  });

  test("before the installation has nothing wrong", async () => {
    const findings = await examine(nodeChecks(places()), never);
    expect(findings.filter(({ level }) => level === "error")).toEqual([]);
    expect(levels(findings)).toMatchObject({ adaptor: "info", journal: "info", "state folder": "info" });
  });

  test("with all at work has answering sockets and a sound journal", async () => {
    await using servers = new AsyncDisposableStack();
    for (const name of ["hypervisor.sock", "proxy.sock", "admin.sock"]) {
      const server = servers.adopt(createServer(), (open) => void open.close());
      await new Promise<void>((resolve) => server.listen(join(dir, name), resolve));
    }
    Journal.open({ stateDir: join(dir, "state"), clock: systemClock }).close();
    const findings = await examine(nodeChecks(places()), never);
    expect(levels(findings)).toEqual({
      "run folder": "ok",
      "state folder": "ok",
      journal: "ok",
      "hypervisor socket": "ok",
      "shim-proxy": "ok",
      adaptor: "ok",
      "container runtime": "warning",
    });
  });

  test("whose processes have died has sockets on which nobody listens", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(dir, "live.sock"), resolve));
    linkSync(join(dir, "live.sock"), join(dir, "proxy.sock"));
    await new Promise<void>((resolve) => server.close(() => resolve()));
    const findings = await examine(nodeChecks(places()), never);
    expect(findings.find(({ check }) => check === "shim-proxy")).toMatchObject({
      level: "error",
      text: expect.stringContaining("nobody listens"),
    });
  });

  test("whose journal is damaged is told so", async () => {
    mkdirSync(join(dir, "state"), { mode: 0o700 });
    writeFileSync(
      join(dir, "state", "journal.db"),
      "this is no database, but it is long enough to look like a header",
    );
    const findings = await examine(nodeChecks(places()), never);
    expect(findings.find(({ check }) => check === "journal")?.level).toBe("warning");
  });

  test("whose state folder others can enter is told the command", async () => {
    mkdirSync(join(dir, "state"));
    chmodSync(join(dir, "state"), 0o755);
    const findings = await examine(nodeChecks(places()), never);
    expect(findings.find(({ check }) => check === "state folder")).toMatchObject({
      level: "warning",
      fix: `chmod 0700 ${join(dir, "state")}`,
    });
  });

  test("whose PODS_DIR is too long for sockets is told how long it may be", async () => {
    const findings = await examine(nodeChecks({ ...places(), podsDir: `/${"x".repeat(40)}` }), never);
    expect(findings.find(({ check }) => check === "pods folder")).toMatchObject({ level: "error" });
  });
});

describe("the shim's configuration", () => {
  const GOOD = `
[hypervisor.remote]
remote_hypervisor_socket = "/run/peerpod/hypervisor.sock"
enable_annotations = ["machine_type", "default_vcpus", "default_memory", "image", "cc_init_data"]
[runtime]
disable_new_netns = true
internetworking_model = "none"
static_sandbox_resource_mgmt = true
`;

  async function judge(toml: string, containerd = ""): Promise<readonly Finding[]> {
    const shimConfig = join(dir, "configuration-remote.toml");
    writeFileSync(shimConfig, toml);
    mkdirSync(join(dir, "etc/containerd"), { recursive: true });
    if (containerd !== "") writeFileSync(join(dir, "etc/containerd/config.toml"), containerd);
    const hypervisorSocket = "/run/peerpod/hypervisor.sock";
    return await examine(
      shimChecks({ hypervisorSocket, shimConfig, hostRoot: dir, runtimeClass: "kata-remote" }),
      never,
    );
  }

  test("that fits is said to", async () => {
    expect(levels(await judge(GOOD))).toMatchObject({ "shim configuration": "ok" });
  });

  test.each([
    ["another socket", GOOD.replace("/run/peerpod/hypervisor.sock", "/run/other.sock"), "/run/other.sock"],
    [
      "a network of the shim's own",
      GOOD.replace("disable_new_netns = true", ""),
      "disable_new_netns = false",
    ],
    ["another hypervisor", GOOD.replace("[hypervisor.remote]", "[hypervisor.qemu]"), "[hypervisor.remote]"],
  ])("with %s keeps pods from running", async (_what, toml, named) => {
    const [finding] = await judge(toml);
    expect(finding).toMatchObject({ level: "error", text: expect.stringContaining(named) });
  });

  test("that drops annotations is a warning that names them", async () => {
    const [finding] = await judge(GOOD.replace('"image", ', "").replace(', "cc_init_data"', ""));
    expect(finding).toMatchObject({ level: "warning", text: expect.stringContaining("image, cc_init_data") });
  });

  test("that is no TOML could not be looked at", async () => {
    expect(levels(await judge("[[["))).toMatchObject({ "shim configuration": "warning" });
  });

  const runtime = (annotations: string) =>
    `[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata-remote]\nruntime_type = "x"\n${annotations}\n`;

  test("is of no use unless containerd passes annotations", async () => {
    expect(levels(await judge(GOOD, runtime("")))).toMatchObject({ "containerd configuration": "error" });
    const passing = runtime('pod_annotations = ["io.katacontainers.*"]');
    expect(levels(await judge(GOOD, passing))).toMatchObject({ "containerd configuration": "ok" });
    expect(levels(await judge(GOOD, "version = 2\n"))).toMatchObject({ "containerd configuration": "info" });
  });
});

describe("the cloud", () => {
  test("is judged by the provider, with its quota", async () => {
    const cloud = new FakeProvider();
    cloud.verify = async () => [{ check: "image", level: "error", text: "there is no image x" }];
    const provider = Object.assign(cloud, { quota: async () => 0 });
    expect(levels(await examine(cloudChecks(provider), never))).toEqual({
      "fake image": "error",
      "fake quota": "error",
    });
    Object.assign(cloud, { quota: () => Promise.reject(unavailable("no answer")) });
    expect(levels(await examine(cloudChecks(provider), never))).toMatchObject({ "fake quota": "warning" });
  });
});

test("a check that cannot be made keeps no other from being made", async () => {
  const broken: Check = () => Promise.reject(unavailable("it broke"));
  const sound: Check = async () => [ok("a", "fine"), failure("b", "bad", "mend it")];
  expect(levels(await examine([broken, sound], never))).toEqual({ doctor: "warning", a: "ok", b: "error" });
});
