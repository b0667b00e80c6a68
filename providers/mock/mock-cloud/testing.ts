import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Exec, silentLog, systemClock, systemExec } from "../../../src/platform/index.ts";
import { type MockCloudClient, mockCloudClient } from "./client.ts";
import { type CloudSettings, DEFAULT_SETTINGS, type MockCloudConfig } from "./config.ts";
import type { Intercept } from "./http-server.ts";
import { type RunningMockCloud, runMockCloud } from "./run.ts";

// Machine rooms for tests: in this process, with a node network of their own, so that nothing of the machine is touched.

export interface TestRoomOptions {
  /** VMs of namespaces need root; without it they are plain processes. */
  readonly rootless: boolean;
  readonly settings?: Partial<CloudSettings>;
  /** Text of a shell script that VMs boot; default: one that says "booted" and then only waits. */
  readonly imageScript?: string;
  readonly intercept?: Intercept;
}

export interface TestRoom extends AsyncDisposable {
  readonly room: RunningMockCloud;
  readonly client: MockCloudClient;
  readonly config: MockCloudConfig;
  /** Runs commands where the worker is: in the network namespace of the bridge. */
  readonly nodeExec: Exec;
}

const IDLE_IMAGE = "echo booted; exec sleep 86400";

/** Whether VMs of namespaces can be tried by this process. */
export const canMakeNamespaces: boolean = process.getuid?.() === 0;

/** A configuration in a folder of its own, with names and addresses that no other test has. */
export async function testConfig(
  options: TestRoomOptions,
): Promise<{ config: MockCloudConfig; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), "ppmock-"));
  const image = join(folder, "image");
  await writeFile(image, `#!/bin/sh\n${options.imageScript ?? IDLE_IMAGE}\n`, { mode: 0o755 });
  const instance = `test-${randomBytes(4).toString("hex")}`;
  const config: MockCloudConfig = {
    socket: join(folder, "cloud.sock"),
    instance,
    stateDir: join(folder, "state"),
    bridge: "ppmock0",
    subnet: "10.77.0.0/24",
    rootlessSubnet: `127.${randomInt(64, 250)}.${randomInt(1, 250)}.0/24`,
    image,
    imagesDir: folder,
    rootless: options.rootless ? "true" : "false",
    settings: { ...DEFAULT_SETTINGS, ...options.settings },
  };
  return { config, folder };
}

/** Starts a machine room in this process; disposing of it takes everything away again. */
export async function startTestRoom(options: TestRoomOptions): Promise<TestRoom> {
  await using undo = new AsyncDisposableStack();
  const { config, folder } = await testConfig(options);
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const nodeExec = options.rootless ? systemExec : await privateNode(undo);
  const room = await runMockCloud(config, {
    clock: systemClock,
    exec: systemExec,
    log: silentLog,
    networkExec: nodeExec,
    ...(options.intercept ? { intercept: options.intercept } : {}),
  });
  undo.defer(() => room.close());
  const owned = undo.move();
  return {
    room,
    client: mockCloudClient(config.socket),
    config,
    nodeExec,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A network namespace kept by a process that sleeps; commands are run in it through nsenter. */
async function privateNode(undo: AsyncDisposableStack): Promise<Exec> {
  const holder = spawn(
    "setpriv",
    [
      "--pdeathsig",
      "KILL",
      "unshare",
      "--net",
      "sh",
      "-c",
      "ip link set lo up; echo ready; exec sleep 86400",
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  undo.defer(() => endProcess(holder));
  await once(holder.stdout, "data");
  const prefix = ["nsenter", `--net=/proc/${holder.pid}/ns/net`] as const;
  return { run: ([file, ...args], execOptions) => systemExec.run([...prefix, file, ...args], execOptions) };
}

/** Kills a child and waits for its end. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}
