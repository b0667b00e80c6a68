import { type Case, must } from "./case.ts";
import type { Stage } from "./stage.ts";

const KEY = "io.katacontainers.peerpods.limits";
const LIMIT_BYTES = 32 * 1024 * 1024;
/** tail keeps what it reads: one line of 200 MB. */
const EATER = ["sh", "-c", "head -c 200000000 /dev/zero | tail > /dev/null; exit $?"];

/** Runs a container that takes 200 MB under this annotation; its exit code. */
async function exitCodeUnder(stage: Stage, annotation: string): Promise<number> {
  stage.control();
  const running = await stage.runPod(EATER, { [KEY]: annotation });
  const { pod, container } = running;
  const { status } = await pod.session.agent.waitProcess({ containerId: container, execId: container });
  await stage.endPod(running);
  return status;
}

const KEPT: Case = {
  name: "a container is held to the limit that the webhook took off it",
  needsRoot: true,
  async run(stage) {
    const status = await exitCodeUnder(stage, JSON.stringify({ c1: { memoryBytes: LIMIT_BYTES } }));
    must(status === 137, `it took more than its 32 MiB and ended with ${status}, not 137`);
  },
};

const SENSELESS: Case = {
  name: "a container runs without a limit when the webhook's annotation makes no sense, and the shim-proxy says so once",
  needsRoot: true,
  async run(stage) {
    const status = await exitCodeUnder(stage, JSON.stringify({ c1: { memoryBytes: "32Mi" } }));
    must(status === 0, `it ended with ${status}`);
    const told = stage.proxy.log().split("memoryBytes of container c1 is no whole number").length - 1;
    must(told === 1, `the shim-proxy said so ${told} times`);
  },
};

/** What the shim-proxy changes of a container. */
export const LIMIT_CASES: readonly Case[] = [KEPT, SENSELESS];
