import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { type Case, check, same } from "./case.ts";
import { checkNothingLeft, IDLE, withPod } from "./idle-pod.ts";
import { Pod } from "./pod.ts";
import { until } from "./service.ts";

const lifecycle: Case = {
  name: "a pod runs, logs, and leaves nothing when it is removed",
  run: async (node) => {
    const start = performance.now();
    const pod = await Pod.run(node, "lifecycle");
    const readyMs = performance.now() - start;
    const hello = await pod.start({ name: "hello", command: ["echo", "hello from the pod VM"] });
    same("exit code", await hello.exitCode(), 0);
    await hello.printed("hello from the pod VM\n");
    same("VMs", (await node.room.vms()).length, 1);
    const stop = performance.now();
    await pod.stop();
    const stopMs = performance.now() - stop;
    await pod.remove();
    await checkNothingLeft(node);
    return `pod ready in ${(readyMs / 1000).toFixed(2)} s, stopped in ${(stopMs / 1000).toFixed(2)} s`;
  },
};

const execs: Case = {
  name: "exec gives output, errors and the exit code",
  run: (node) =>
    withPod(node, "exec", async (_, idle) => {
      const { code, stdout, stderr } = await idle.exec("sh", "-c", "echo out; echo err >&2; exit 7");
      same("exit code", code, 7);
      same("stdout", stdout, "out\n");
      same("stderr", stderr, "err\n");
      const times = await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const start = performance.now();
          same("exec", (await idle.exec("echo", `${index}`)).stdout, `${index}\n`);
          return performance.now() - start;
        }),
      );
      return `exit code 7; 20 at once, slowest ${(Math.max(...times) / 1000).toFixed(2)} s`;
    }),
};

/**
 * Whether this machine gives its root every capability. kata-agent 4.1.0 sets all that the kernel knows when it changes the user
 * (rustjail, capabilities.rs, reset_effective), and fails where one is withheld, as CAP_SYS_RESOURCE (24) is in some sandboxes.
 */
const hasAllCapabilities = async (): Promise<boolean> => {
  const status = await readFile("/proc/self/status", "utf8");
  const permitted = BigInt(`0x${/^CapPrm:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return (permitted & (permitted + 1n)) === 0n;
};

const containers: Case = {
  name: "a pod has several containers, with their environment, user, folder and exit codes",
  run: (node) =>
    withPod(node, "several", async (pod, idle) => {
      const user = (await hasAllCapabilities()) ? 65534n : undefined;
      const script = 'echo "$GREETING $(id -u) $(pwd) $(hostname)"; exit 3';
      const second = await pod.start({
        name: "second",
        command: ["sh", "-c", script],
        env: { GREETING: "hi" },
        ...(user === undefined ? {} : { user }),
        workingDir: "/tmp",
      });
      same("exit code", await second.exitCode(), 3);
      await second.printed(`hi ${user ?? 0} /tmp several\n`);
      await pod.removeContainer(second);
      const again = await pod.start({ name: "third", command: IDLE });
      await again.printed("ready");
      const start = performance.now();
      await pod.removeContainer(again, 10);
      const stopS = (performance.now() - start) / 1000;
      check(stopS < 9, () => `SIGTERM did not end the container: stopping took ${stopS} s`);
      check(await idle.running(), () => "the first container does not run any more");
      return `exit code 3; SIGTERM ended the third in ${stopS.toFixed(2)} s`;
    }),
};

/** Sends a line and resolves to what comes back. */
function talk(host: string, port: number, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () => socket.write(`${line}\n`));
    const chunks: Buffer[] = [];
    socket.setTimeout(5000, () => socket.destroy(new Error(`no answer from ${host}:${port}`)));
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", reject);
    socket.on("end", () => resolve(Buffer.concat(chunks).toString()));
  });
}

const network: Case = {
  name: "pods have the address that the CNI gave, reach each other and are reached from the node",
  run: (node) =>
    withPod(node, "server", async (pod) => {
      const server = await pod.start({
        name: "server",
        command: [
          "sh",
          "-c",
          "echo up; nc -ll -p 8080 -e sh -c 'read x; echo got $x; head -c 3000000 /dev/zero | tr \\\\0 z'",
        ],
      });
      await server.printed("up");
      const address = await pod.address();
      const answer = await until("an answer", 20_000, () =>
        talk(address, 8080, "ping").catch(() => undefined),
      );
      check(answer.startsWith("got ping\n"), () => `the answer is ${answer.slice(0, 40)}`);
      same("bytes", answer.length, "got ping\n".length + 3_000_000);
      await withPod(node, "client", async (_, client) => {
        const { stdout } = await client.exec("sh", "-c", `echo pong | nc ${address} 8080 | wc -c`);
        same("bytes between pods", stdout.trim(), `${"got pong\n".length + 3_000_000}`);
        return "";
      });
      return `3 MB from the pod to the node and to another pod (${address})`;
    }),
};

/**
 * The container stays until all is logged: of one that ends, the last 64 KiB are sometimes lost on the way from the stock agent, as
 * they are under the Go adaptor.
 */
const bulk: Case = {
  name: "100 MB of output arrive whole",
  run: (node) =>
    withPod(node, "bulk", async (pod) => {
      const bytes = 100 * 1024 * 1024;
      const line = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\n";
      const start = performance.now();
      const writer = await pod.start({
        name: "writer",
        command: [
          "sh",
          "-c",
          `yes ${line.trim()} | head -c ${bytes}; echo; until test -e /end; do usleep 50000; done`,
        ],
      });
      let output = "";
      await until("all output logged", 150_000, async () => {
        if ((await writer.logBytes()) <= bytes) return false;
        output = await writer.output();
        return output.length > bytes;
      }).catch(() => {
        throw new Error(`${bytes - output.length} of ${bytes} bytes are not in containerd's log`);
      });
      const seconds = (performance.now() - start) / 1000;
      await writer.exec("touch", "/end");
      same("exit code", await writer.exitCode(), 0);
      const expected = line.repeat(Math.ceil(bytes / line.length)).slice(0, bytes);
      const digest = (text: string): string => createHash("sha256").update(text).digest("hex");
      same("digest", digest(output.slice(0, bytes)), digest(expected));
      return `${(100 / seconds).toFixed(1)} MB/s from the container to containerd's log`;
    }),
};

/**
 * A volume as the kubelet's atomic writer lays it out: files in a folder named by the time, behind `..data`, which is replaced as a
 * whole; the shim copies again when the old folder is removed (kata-containers 4.1.0, fs_share_linux.go).
 */
async function writeVolume(dir: string, second: number, value: string): Promise<void> {
  const folder = (at: number): string => `..2026_01_01_00_00_0${at}.123456789`;
  await mkdir(join(dir, folder(second)), { recursive: true });
  await writeFile(join(dir, folder(second), "key"), value);
  await symlink(folder(second), join(dir, "..data_tmp"));
  await rename(join(dir, "..data_tmp"), join(dir, "..data"));
  await rm(join(dir, folder(second - 1)), { recursive: true, force: true });
}

const configMap: Case = {
  name: "a ConfigMap is copied into the pod VM, and again when it changes",
  run: (node) =>
    withPod(node, "config", async (pod) => {
      const dir = `/var/lib/kubelet/pods/${pod.uid}/volumes/kubernetes.io~configmap/settings`;
      await writeVolume(dir, 1, "first");
      await symlink(join("..data", "key"), join(dir, "key"));
      const reader = await pod.start({ name: "reader", command: IDLE, mounts: { "/settings": dir } });
      same("value", (await reader.exec("cat", "/settings/key")).stdout, "first");
      await writeVolume(dir, 2, "second");
      const start = performance.now();
      await until(
        "the new value",
        60_000,
        async () => (await reader.exec("cat", "/settings/key")).stdout === "second",
      );
      return `changed value seen after ${((performance.now() - start) / 1000).toFixed(1)} s`;
    }),
};

const several: Case = {
  name: "five pods start at once",
  run: async (node) => {
    const start = performance.now();
    const runs = await Promise.allSettled(
      Array.from({ length: 5 }, async (_, index) => {
        const pod = await Pod.run(node, `crowd-${index}`);
        return { pod, ms: performance.now() - start };
      }),
    );
    const pods = runs.flatMap((run) => (run.status === "fulfilled" ? [run.value] : []));
    try {
      for (const run of runs) if (run.status === "rejected") throw run.reason;
    } finally {
      await Promise.all(pods.map(({ pod }) => pod.remove()));
    }
    await checkNothingLeft(node);
    return `all ready after ${(Math.max(...pods.map(({ ms }) => ms)) / 1000).toFixed(2)} s`;
  },
};

/** Pods as everybody runs them. */
export const EVERYDAY_CASES: readonly Case[] = [
  lifecycle,
  execs,
  containers,
  network,
  bulk,
  configMap,
  several,
];
