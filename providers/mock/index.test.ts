import { join } from "node:path";
import { expect, test } from "vitest";
import { Secret, silentLog, systemClock, systemExec } from "../../src/platform/index.ts";
import { type CloudCall, type OptionReader, OwnerTag } from "../contract.ts";
import { mockProvider } from "./index.ts";
import { startTestRoom } from "./mock-cloud/testing.ts";

const signal = new AbortController().signal;
const owner = { clusterId: "c", nodeName: "n" };
const context = { clock: systemClock, exec: systemExec, log: silentLog, owner };

const reader = (values: Readonly<Record<string, string>>): OptionReader => {
  const text = (flag: string): string =>
    values[flag] ?? mockProvider.options.find((option) => option.flag === flag)?.default ?? "";
  return {
    string: text,
    secret: () => undefined,
    int: (flag) => Number(text(flag)),
    bool: () => false,
    list: () => [],
    tags: () => ({}),
    durationMs: () => undefined,
  };
};

const request = {
  name: "podvm-a-01234567",
  tags: { [OwnerTag.Sandbox]: "s" },
  userData: new Secret("#cloud-config\n"),
  size: { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 },
  image: "",
  dedicatedTunnelInterface: false,
  externalNetworkInterface: false,
  volumes: [],
};
const options = { signal, onId: () => undefined, onProgress: () => undefined };

test("without a machine room verify says so, and a create is unavailable and names the command", async () => {
  const provider = await mockProvider.create(
    context,
    reader({ "mock-cloud-socket": "/nonexistent/cloud.sock" }),
  );
  expect(await provider.verify(signal)).toMatchObject([{ level: "error" }]);
  await expect(provider.create(request, options)).rejects.toMatchObject({
    kind: "unavailable",
    message: expect.stringContaining("mock-cloud"),
  });
});

test("a full or too small machine room is a warning of verify", async () => {
  await using room = await startTestRoom({ rootless: true, settings: { quota: 1, userDataLimitBytes: 100 } });
  const provider = await mockProvider.create(context, reader({ "mock-cloud-socket": room.config.socket }));
  await provider.create(request, options);
  const findings = await provider.verify(signal);
  expect(findings.map(({ check, level }) => `${check}: ${level}`)).toEqual([
    "machine room: ok",
    "quota: warning",
    "user data: warning",
  ]);
  expect(await provider.quota?.(signal)).toBe(0);
});

test("a pod's image wins over the configured one; only the operator may give a path", async () => {
  await using room = await startTestRoom({ rootless: true, imageScript: "exec sleep 86400" });
  const settings = { "mock-cloud-socket": room.config.socket, "mock-image": "no-such-image" };
  const provider = await mockProvider.create(context, reader(settings));
  await expect(provider.create(request, options)).rejects.toThrow(/no-such-image/);
  const vm = await provider.create({ ...request, image: "image" }, options);
  expect(vm.lifecycle).toBe("running");
  const path = join(room.config.imagesDir, "image");
  await expect(provider.create({ ...request, name: "podvm-b", image: path }, options)).rejects.toThrow(
    /image name/,
  );
  const byPath = await mockProvider.create(context, reader({ ...settings, "mock-image": path }));
  expect((await byPath.create({ ...request, name: "podvm-c" }, options)).lifecycle).toBe("running");
});

test("a socket that is not absolute is refused", async () => {
  await expect(
    mockProvider.create(context, reader({ "mock-cloud-socket": "here.sock" })),
  ).rejects.toMatchObject({
    kind: "invalid-config",
  });
});

test("every call to the machine room is told, with what came of it", async () => {
  await using room = await startTestRoom({ rootless: true });
  const told: CloudCall[] = [];
  const onCall = (call: CloudCall): void => {
    told.push(call);
  };
  const provider = await mockProvider.create(
    { ...context, onCall },
    reader({ "mock-cloud-socket": room.config.socket }),
  );
  await room.client.fault({ operation: "create", kind: "throttled" }, signal);
  await expect(provider.create(request, options)).rejects.toMatchObject({ kind: "throttled" });
  await provider.get({ name: "podvm-none", id: "none" }, signal);
  expect(told.map(({ operation, outcome }) => `${operation} ${outcome}`)).toEqual([
    "vms.create throttled",
    "vms.get not-found",
    "vms.list ok",
  ]);
});
