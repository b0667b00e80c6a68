import { gzipSync } from "node:zlib";
import { type Case, check, same } from "./case.ts";
import { IDLE, withPod } from "./idle-pod.ts";
import type { Pod } from "./pod.ts";
import { until } from "./service.ts";

const terminal: Case = {
  name: "a container can have a terminal",
  run: (node) =>
    withPod(node, "terminal", async (pod) => {
      const one = await pod.start({
        name: "terminal",
        command: ["sh", "-c", "test -t 0 && test -t 1 && echo terminal"],
        tty: true,
      });
      same("exit code", await one.exitCode(), 0);
      await one.printed("terminal");
      return "";
    }),
};

/** tail keeps what it reads: one line of 256 MB. */
const EATER: readonly string[] = ["sh", "-c", "sleep 1; head -c 268435456 /dev/zero | tail"];
const MEMORY_LIMIT = 32 * 1024 * 1024;

/** Runs a container into its memory limit. Resolves to whether the runtime was told why it ended. */
async function outOfMemory(pod: Pod, name: string): Promise<boolean> {
  const eater = await pod.start({ name, command: EATER, memoryLimitBytes: BigInt(MEMORY_LIMIT) });
  same("exit code", await eater.exitCode(), 137);
  // The event that tells why may come after the end; until then the CRI says "Error".
  const told = until("the reason", 5000, async () => (await eater.status()).reason === "OOMKilled");
  return told.then(
    () => true,
    () => false,
  );
}

/** Once in a dozen runs with the Rust shim no event came, without any break of a link; so the second of two may be the one that is told. */
const memory: Case = {
  name: "a container over its memory limit is killed, and the runtime is told why",
  run: (node) =>
    withPod(node, "memory", async (pod, idle) => {
      const first = await outOfMemory(pod, "first");
      check(first || (await outOfMemory(pod, "second")), () => "two were killed and neither is OOMKilled");
      check(await idle.running(), () => "the other container ended too");
      return `exit code 137, reason OOMKilled${first ? "" : " for the second of two"}`;
    }),
};

const keptLimit: Case = {
  name: "a container whose limit the webhook has put into an annotation is killed at it, and its neighbour is not",
  run: (node) =>
    withPod(
      node,
      "limits",
      async (pod, idle) => {
        const eater = await pod.start({ name: "eater", command: EATER });
        same("exit code", await eater.exitCode(), 137);
        check(await idle.running(), () => "the other container ended too");
        return "exit code 137";
      },
      { "io.katacontainers.peerpods.limits": JSON.stringify({ eater: { memoryBytes: MEMORY_LIMIT } }) },
    ),
};

const INITDATA = `version = "0.1.0"
algorithm = "sha256"
[data]
"policy.rego" = "package agent_policy"
"aa.toml" = ""
`;

const initdata: Case = {
  name: "initdata of a pod's annotation reaches the pod VM",
  run: (node) =>
    withPod(
      node,
      "initdata",
      async () => {
        const [vm] = await node.room.vms();
        const console = await node.room.console(vm?.id ?? "");
        check(console.includes("Wrote /run/peerpod/policy.rego"), () => "process-user-data wrote no policy");
        return "process-user-data wrote its policy.rego";
      },
      {
        "io.katacontainers.config.hypervisor.cc_init_data": gzipSync(INITDATA).toString("base64"),
      },
    ),
};

const restart: Case = {
  name: "a container that ended can be replaced, twenty times",
  run: (node) =>
    withPod(node, "restart", async (pod) => {
      const start = performance.now();
      for (let round = 0; round < 20; round++) {
        const one = await pod.start({ name: `round-${round}`, command: ["sh", "-c", `exit ${round}`] });
        same("exit code", await one.exitCode(), round);
        await pod.removeContainer(one);
      }
      const last = await pod.start({ name: "last", command: IDLE });
      await last.printed("ready");
      return `${((performance.now() - start) / 20 / 1000).toFixed(2)} s each`;
    }),
};

/** What only a real agent does. */
export const GUEST_CASES: readonly Case[] = [terminal, memory, keptLimit, initdata, restart];
