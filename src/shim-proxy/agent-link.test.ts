import { existsSync, lstatSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CreateContainerRequest } from "../gen/agent/agent.ts";
import { Spec } from "../gen/agent/oci.ts";
import { Secret } from "../platform/index.ts";
import { DEFAULT_TLS_PROFILE, issueVmIdentity } from "../tls/index.ts";
import { decodeResponse } from "../ttrpc/index.ts";
import {
  AGENT,
  type Bench,
  check,
  connectShim,
  eventually,
  FakeOwner,
  FakeVm,
  linkedPod,
  RawShim,
  startBench,
} from "./test-peers.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await startBench();
});
afterEach(() => bench.opened.closeAll());

const attach = (epoch = 1): Promise<FakeOwner> => FakeOwner.attach(bench.opened, bench.dir, { epoch });

describe("PutSandbox", () => {
  test("places agent.ttrpc, mode 0600, and may be repeated", async () => {
    const owner = await attach();
    const dir = bench.sandboxDir("s1");
    await owner.client.putSandbox("s1", dir);
    const first = lstatSync(join(dir, "agent.ttrpc"));
    expect(first.isSocket()).toBe(true);
    expect(first.mode & 0o777).toBe(0o600);
    await owner.client.putSandbox("s1", dir);
    expect(lstatSync(join(dir, "agent.ttrpc")).ino).toBe(first.ino);
  });

  test("refuses another folder, a folder of another name, a relative one, one that is absent, and a path as id", async () => {
    const { client } = await attach();
    await client.putSandbox("s1", bench.sandboxDir("s1"));
    const refusals: [string, string, string][] = [
      ["s1", bench.sandboxDir("s1/s1"), "already-exists"],
      ["s2", bench.sandboxDir("other"), "invalid-request"],
      ["s2", "s2", "invalid-request"],
      ["s2", `${bench.dir}/x/../s2`, "invalid-request"],
      ["s2", `${bench.dir}/absent/s2`, "invalid-request"],
      ["../s2", bench.sandboxDir("s2"), "invalid-request"],
      ["", bench.dir, "invalid-request"],
      ["s2", `/${"x".repeat(100)}/s2`, "too-large"],
    ];
    for (const [id, dir, kind] of refusals)
      await expect(client.putSandbox(id, dir), `${id} ${dir}`).rejects.toMatchObject({ kind });
  });
});

describe("PutLink", () => {
  test("resolves when TLS is up, and the first shim connection that sends something adopts that connection", async () => {
    const { vm, shim } = await linkedPod(bench);
    expect(vm.connectionCount).toBe(1);
    expect(await check(shim)).toBe(1);
    expect(vm.connectionCount).toBe(1);
  });

  test("plain TCP serves when TLS is disabled", async () => {
    const { shim } = await linkedPod(bench, "s1", { plain: true });
    expect(await check(shim)).toBe(1);
  });

  test("waits for a VM that does not listen yet, without a multi-second back-off", async () => {
    const owner = await attach();
    const vm = await FakeVm.start(bench.opened);
    const target = vm.target("s1");
    vm.close();
    await owner.client.putSandbox("s1", bench.sandboxDir("s1"));
    const linked = owner.client.putLink(target);
    await bench.clock.jump(3000);
    await vm.listen(target.port);
    await bench.clock.jump(250);
    await linked;
    expect(owner.events.map((event) => (event.kind === "link" ? event.state : event.kind))).toEqual([
      "dialing",
      "up",
    ]);
  });

  test("a forwarder that resets connections while it starts is tried again", async () => {
    const owner = await attach();
    const vm = await FakeVm.start(bench.opened);
    vm.listening = false;
    await owner.client.putSandbox("s1", bench.sandboxDir("s1"));
    const linked = owner.client.putLink(vm.target("s1"));
    await bench.clock.jump(1000);
    vm.listening = true;
    await bench.clock.jump(500);
    await linked;
  });

  test("ends with `deadline` after its timeout, saying what went wrong last", async () => {
    const owner = await attach();
    const vm = await FakeVm.start(bench.opened);
    const target = vm.target("s1", { timeoutMs: 5000 });
    vm.close();
    await owner.client.putSandbox("s1", bench.sandboxDir("s1"));
    const linked = expect(owner.client.putLink(target)).rejects.toMatchObject({
      kind: "deadline",
      message: expect.stringMatching(/5000 ms.*ECONNREFUSED/),
    });
    await bench.clock.jump(5100);
    await linked;
  });

  test("ends at once when its caller gives up, and the dial with it", async () => {
    const owner = await attach();
    const vm = await FakeVm.start(bench.opened);
    vm.listening = false;
    await owner.client.putSandbox("s1", bench.sandboxDir("s1"));
    const giveUp = new AbortController();
    const linked = owner.client.putLink(vm.target("s1"), giveUp.signal);
    await bench.clock.jump(300);
    giveUp.abort();
    await expect(linked).rejects.toMatchObject({ kind: "cancelled" });
    vm.listening = true;
    await bench.clock.jump(1000);
    expect(vm.connectionCount).toBe(0);
  });

  const wrong = async (change: "serverName" | "ca" | "client") => {
    const owner = await attach();
    const vm = await FakeVm.start(bench.opened);
    const stranger = await issueVmIdentity({ serverName: "podvm-x", nowMs: Date.now() });
    const target = vm.target("s1");
    await owner.client.putSandbox("s1", bench.sandboxDir("s1"));
    if (target.tls === undefined) throw new Error("no TLS");
    const tls = {
      serverName: { ...target.tls, serverName: "podvm-y" },
      ca: { ...target.tls, caPem: stranger.caPem },
      client: {
        ...target.tls,
        clientCertPem: stranger.clientCertPem,
        clientKeyPem: stranger.clientKeyPem,
      },
    }[change];
    return owner.client.putLink({ ...target, tls });
  };

  test.each(["serverName", "ca", "client"] as const)(
    "a wrong certificate (%s) is refused at once, not at the timeout",
    async (change) => {
      await expect(wrong(change)).rejects.toMatchObject({ kind: "unauthorised" });
    },
  );

  test("a VM that does not speak TLS ends with `deadline`", async () => {
    const owner = await attach();
    const vm = await FakeVm.start(bench.opened);
    const plain = await FakeVm.start(bench.opened, { plain: true });
    plain.handlers.clear();
    await owner.client.putSandbox("s1", bench.sandboxDir("s1"));
    // The plain listener takes the handshake for a frame and waits: time decides.
    const linked = expect(
      owner.client.putLink({ ...vm.target("s1"), port: plain.port, timeoutMs: 6000 }),
    ).rejects.toMatchObject({ kind: "deadline" });
    await bench.clock.jump(6100);
    await linked;
  });

  test("skip_verify takes any certificate", async () => {
    const owner = await attach();
    const vm = await FakeVm.start(bench.opened);
    const target = vm.target("s1");
    if (target.tls === undefined) throw new Error("no TLS");
    await owner.client.putSandbox("s1", bench.sandboxDir("s1"));
    await owner.client.putLink({
      ...target,
      tls: { ...target.tls, serverName: "podvm-y", skipVerify: true },
    });
  });

  test("unknown sandboxes, wrong addresses, ports, names, times, keys and profiles are refused with a clear kind", async () => {
    const { client } = await attach();
    const vm = await FakeVm.start(bench.opened);
    const target = vm.target("s1");
    await expect(client.putLink(target)).rejects.toMatchObject({ kind: "not-found" });
    await client.putSandbox("s1", bench.sandboxDir("s1"));
    const { tls } = target;
    if (tls === undefined) throw new Error("no TLS");
    for (const bad of [
      { ...target, address: "vm.example" },
      { ...target, port: 0 },
      { ...target, port: 70_000 },
      { ...target, timeoutMs: 1e8 },
      { ...target, tls: { ...tls, serverName: "" } },
      { ...target, tls: { ...tls, serverName: "10.0.0.1" } },
      { ...target, tls: { ...tls, caPem: "nonsense" } },
      { ...target, tls: { ...tls, clientKeyPem: new Secret("nonsense") } },
      { ...target, tls: { ...tls, profile: { ...DEFAULT_TLS_PROFILE, cipherSuites: ["NOT_A_SUITE"] } } },
    ])
      await expect(client.putLink(bad)).rejects.toMatchObject({ kind: "invalid-request" });
  });

  test("the same address joins: a living link is kept when its credentials are sent again", async () => {
    const { owner, vm, shim } = await linkedPod(bench);
    await check(shim);
    await owner.client.putLink(vm.target("s1"));
    await check(shim);
    expect(vm.connectionCount).toBe(1);
  });

  test("two at once make one dial", async () => {
    const owner = await attach();
    const vm = await FakeVm.start(bench.opened);
    await owner.client.putSandbox("s1", bench.sandboxDir("s1"));
    await Promise.all([owner.client.putLink(vm.target("s1")), owner.client.putLink(vm.target("s1"))]);
    expect(vm.connectionCount).toBe(1);
  });

  test("another address replaces: pending calls that may be are asked there", async () => {
    const { owner, shim, vm } = await linkedPod(bench);
    const other = await FakeVm.start(bench.opened);
    const waiting = shim.call(AGENT, "WaitProcess", new Uint8Array(0));
    await vm.next("WaitProcess");
    await owner.client.putLink(other.target("s1"));
    (await other.next("WaitProcess")).answer(Buffer.from([8, 7]));
    expect(Buffer.from(await waiting)).toEqual(Buffer.from([8, 7]));
    await eventually(() => expect(vm.connections.size).toBe(0));
  });

  test("a shim connection before PutLink waits, whatever it asks", async () => {
    const owner = await attach();
    const vm = await FakeVm.start(bench.opened);
    const dir = bench.sandboxDir("s1");
    await owner.client.putSandbox("s1", dir);
    const shim = await connectShim(bench.opened, join(dir, "agent.ttrpc"));
    const checked = check(shim);
    vm.handlers.set("CreateSandbox", (asked) => asked.answer());
    const created = shim.call(AGENT, "CreateSandbox", new Uint8Array(0));
    await bench.clock.jump(20_000);
    await owner.client.putLink(vm.target("s1"));
    await created;
    expect(await checked).toBe(1);
    expect(vm.connectionCount).toBe(1);
  });
});

describe("shim connections", () => {
  test("each that sends something has an upstream of its own, and a silent one has none", async () => {
    const { owner, vm, shim, agentSocket } = await linkedPod(bench);
    await check(shim);
    const silent = await RawShim.connect(bench.opened, agentSocket);
    const second = await connectShim(bench.opened, agentSocket);
    expect(await check(second)).toBe(1);
    expect(vm.connectionCount).toBe(2);
    await eventually(() =>
      expect(owner.events).toContainEqual({ kind: "shim-connections", sandboxId: "s1", open: 3, ever: true }),
    );
    expect(silent.closed).toBe(false);
    silent.close();
    second.close();
    shim.close();
    await eventually(() => {
      expect(owner.events.at(-1)).toEqual({ kind: "shim-connections", sandboxId: "s1", open: 0, ever: true });
      expect(vm.connections.size).toBe(0);
    });
  });

  test("calls of one connection run at once and are answered in any order", async () => {
    const { vm, shim } = await linkedPod(bench);
    const waiting = shim.call(AGENT, "WaitProcess", new Uint8Array(0));
    const reading = shim.call(AGENT, "ReadStdout", new Uint8Array(0));
    (await vm.next("ReadStdout")).answer(Buffer.from("out"));
    expect(Buffer.from(await reading).toString()).toBe("out");
    (await vm.next("WaitProcess")).fail(5, "InvalidExecId");
    await expect(waiting).rejects.toMatchObject({
      code: 5,
      message: expect.stringContaining("InvalidExecId"),
    });
  });

  test("a method that nobody declared passes untouched, metadata included", async () => {
    const { vm, shim } = await linkedPod(bench);
    vm.handlers.set("Frobnicate", (asked) => asked.answer(Buffer.from(asked.payload)));
    const payload = Buffer.from([0xfa, 0x3f, 3, 1, 2, 3]);
    const metadata = [["traceparent", "00-1"]] as const;
    expect(Buffer.from(await shim.call("grpc.NewService", "Frobnicate", payload, { metadata }))).toEqual(
      payload,
    );
    expect(vm.calls[0]).toMatchObject({ service: "grpc.NewService", metadata });
  });

  test("ids that overtake one another on the shim's side rise on the link", async () => {
    const { vm, agentSocket } = await linkedPod(bench);
    const shim = await RawShim.connect(bench.opened, agentSocket);
    const frame = (streamId: number) => ({
      streamId,
      type: 1,
      flags: 0,
      data: Buffer.from([0x0a, 1, 0x78, 0x12, 1, 0x79]),
    });
    vm.handlers.set("y", (asked) => asked.answer());
    for (const id of [1, 5, 3, 9, 7]) shim.send(frame(id));
    await eventually(() => expect(shim.answers.length).toBe(5));
    expect(shim.answers.map((answer) => decodeResponse(answer.data).status)).toEqual(
      Array(5).fill(undefined),
    );
    const ids = vm.calls.map((asked) => asked.streamId);
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
  });

  test("the connections over the bound are closed", async () => {
    const small = await startBench({ limits: { maxAgentConnections: 1, maxSandboxes: 1 } });
    try {
      const { agentSocket, owner } = await linkedPod(small);
      const extra = await RawShim.connect(small.opened, agentSocket);
      await eventually(() => expect(extra.closed).toBe(true));
      await expect(owner.client.putSandbox("s2", small.sandboxDir("s2"))).rejects.toMatchObject({
        kind: "too-large",
      });
    } finally {
      await small.opened.closeAll();
    }
  });
});

describe("CreateContainer", () => {
  test("carries the volumes fixed at PutLink, and everything else as the shim sent it", async () => {
    const owner = await attach();
    const vm = await FakeVm.start(bench.opened);
    const dir = bench.sandboxDir("s1");
    await owner.client.putSandbox("s1", dir);
    const source = "/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/pv/mount";
    const volume = { diskId: "d-1", lun: 3, fsType: "xfs", fsGroup: "", encryptType: "", keyId: "" };
    await owner.client.putLink(vm.target("s1", { volumes: [{ targetPath: source, ...volume }] }));
    const shim = await connectShim(bench.opened, join(dir, "agent.ttrpc"));
    vm.handlers.set("CreateContainer", (asked) => asked.answer());
    const request = CreateContainerRequest.create({
      containerId: "c1",
      OCI: Spec.create({ Mounts: [{ destination: "/data", source, type: "bind", options: [] }] }),
    });
    await shim.call(AGENT, "CreateContainer", CreateContainerRequest.encode(request).finish());
    const seen = CreateContainerRequest.decode((await vm.next("CreateContainer")).payload);
    expect(seen.OCI?.Annotations["io.confidentialcontainers.org.peerpodvolumes.target_path"]).toBe(source);
  });

  test("carries the container's own limits, and is sent as it is when they make no sense", async () => {
    const { shim, vm } = await linkedPod(bench);
    let seen: CreateContainerRequest | undefined;
    vm.handlers.set("CreateContainer", (asked) => {
      seen = CreateContainerRequest.decode(asked.payload);
      asked.answer();
    });
    const memoryOf = async (limits: string): Promise<bigint | undefined> => {
      const Annotations = {
        "io.kubernetes.cri.container-name": "c1",
        "io.katacontainers.peerpods.limits": limits,
      };
      const OCI = Spec.create({ Annotations, Linux: {} });
      const request = CreateContainerRequest.create({ containerId: "c1", OCI });
      await shim.call(AGENT, "CreateContainer", CreateContainerRequest.encode(request).finish());
      return seen?.OCI?.Linux?.Resources?.Memory?.Limit;
    };
    expect(await memoryOf('{"c1":{"memoryBytes":4096}}')).toBe(4096n);
    expect(await memoryOf('{"c1":{"memoryBytes":"much"}}')).toBeUndefined();
  });
});

describe("CloseSandbox", () => {
  test("closes the connections, removes the socket, and succeeds again and for the unknown", async () => {
    const { owner, vm, shim, agentSocket } = await linkedPod(bench);
    await check(shim);
    await owner.client.closeSandbox("s1");
    await eventually(() => expect(vm.connections.size).toBe(0));
    await shim.closed;
    expect(existsSync(agentSocket)).toBe(false);
    await owner.client.closeSandbox("s1");
    await owner.client.closeSandbox("unknown");
  });

  test("ends a PutLink in progress", async () => {
    const owner = await attach();
    const vm = await FakeVm.start(bench.opened);
    vm.listening = false;
    await owner.client.putSandbox("s1", bench.sandboxDir("s1"));
    const linked = owner.client.putLink(vm.target("s1"));
    await bench.clock.jump(100);
    await Promise.all([
      expect(linked).rejects.toMatchObject({ kind: "not-found" }),
      owner.client.closeSandbox("s1"),
    ]);
  });

  test("leaves a socket alone that somebody else has put in its place", async () => {
    const owner = await attach();
    const dir = bench.sandboxDir("s1");
    await owner.client.putSandbox("s1", dir);
    const path = join(dir, "agent.ttrpc");
    renameSync(path, `${path}.old`);
    writeFileSync(path, "");
    await owner.client.closeSandbox("s1");
    expect(existsSync(path)).toBe(true);
  });
});
