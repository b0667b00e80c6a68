import { execFileSync } from "node:child_process";
import { trafficBothWays } from "../demo/traffic.ts";
import { newId } from "../shim/played-pod.ts";
import { podAnnotations } from "../shim/played-shim.ts";
import { type Case, codeOf, must, rejection } from "./case.ts";
import { never, PATIENCE_MS, type Stage } from "./stage.ts";

const LIMIT = 3;

/** A VM that ends by `action` is told to the pod's shim, which then says StopVM. */
async function vmEnds(stage: Stage, action: "vanish" | "kill"): Promise<void> {
  stage.control();
  const { pod } = await stage.runPod();
  const { id } = await stage.vmOf(pod);
  const told = pod.session.client.closed;
  await stage.cloud.act(id, { action }, never);
  await told;
  must(
    stage.proxy.log().includes("machine room") || stage.proxy.log().includes("mock says"),
    "the shim was not told why",
  );
  await stage.node.shim.stopVm(pod.id);
}

const vmEndCase = (action: "vanish" | "kill", what: string): Case => ({
  name: `the shim of a pod whose VM ${what} is told by the next look at the cloud, not by a link that waits`,
  stage: { adaptorFlags: ["-vm-check-interval=500ms"], proxyFlags: ["-link-down-limit=1h"] },
  run: (stage) => vmEnds(stage, action),
});

const FAILED_DELETES: Case = {
  name: "a VM that cannot be deleted keeps its slot, visibly, over a restart, and goes in the end",
  stage: { limit: 1, adaptorFlags: ["-limit-wait=200ms"] },
  async run(stage) {
    const control = stage.control();
    const { pod } = await stage.runPod();
    await stage.cloud.fault({ operation: "delete", kind: "unauthorised", count: 10_000 }, never);
    await pod[Symbol.asyncDispose]();
    const stop = stage.node.shim.stopVm(pod.id);
    stop.catch(() => undefined);
    await stage.journalHas("SELECT 1 FROM vms WHERE phase = 'deleting' AND delete_attempts > 0");
    await control.kill("SIGKILL");
    stage.control();
    await stage.journalHas("SELECT 1 FROM vms WHERE phase = 'deleting' AND delete_attempts > 2");
    const [row] = stage.journal("SELECT last_error FROM vms");
    must(String(row?.["last_error"]).length > 10, "the journal does not say why the delete failed");
    const refused = await rejection(stage.newPod().pod.create());
    must(codeOf(refused) === 8, `CreateVM beside the undeleted VM ended with ${String(refused)}`);
    await stage.cloud.clearFaults(never);
    await stop;
    const next = stage.newPod();
    await next.pod.create();
    await next.pod.stop();
  },
};

const CONCURRENT_LIMIT: Case = {
  name: `50 CreateVM at once over the real socket never exceed a limit of ${LIMIT}, a kill -9 in between included`,
  stage: { limit: LIMIT, adaptorFlags: ["-limit-wait=0s"] },
  async run(stage) {
    const control = stage.control();
    const { pod, network } = stage.newPod();
    const ids = Array.from({ length: 50 }, newId);
    const calls = ids.map((id) => stage.node.shim.createVm(id, podAnnotations(pod.pod), network.netns));
    for (const call of calls) call.catch(() => undefined);
    await stage.journalHas("SELECT 1 FROM sandboxes");
    await control.kill("SIGKILL");
    stage.control();
    const outcomes = await Promise.allSettled(calls);
    const made = ids.filter((_, n) => outcomes[n]?.status === "fulfilled");
    must(made.length === LIMIT, `${made.length} CreateVM succeeded`);
    for (const outcome of outcomes)
      must(
        outcome.status === "fulfilled" || codeOf(outcome.reason) === 8,
        () => `a CreateVM ended with ${outcome.status === "rejected" ? String(outcome.reason) : ""}`,
      );
    for (const id of made) await stage.node.shim.stopVm(id);
  },
};

const vxlanIdIn = (netns: string): string =>
  /vxlan id (\d+)/.exec(
    execFileSync("nsenter", [`--net=${netns}`, "ip", "-d", "link", "show", "vxlan1"], { encoding: "utf8" }),
  )?.[1] ?? "none";

const TUNNELS: Case = {
  name: "tunnels and keys of living pods survive a restart, and a later pod gets a tunnel of its own",
  needsRoot: true,
  async run(stage) {
    const control = stage.control();
    const first = await stage.runPod();
    await trafficBothWays(first.pod, first.container, first.network);
    await control.kill("SIGKILL");
    stage.control();
    const second = await stage.runPod();
    const ids = [first, second].map(({ network }) => vxlanIdIn(network.netns));
    must(new Set(ids).size === 2 && !ids.includes("none"), `the VXLAN ids are ${ids.join(" and ")}`);
    for (const { pod, container, network } of [first, second]) await trafficBothWays(pod, container, network);
    const { id } = await stage.vmOf(first.pod);
    await stage.cloud.act(id, { action: "link-reset" }, never);
    const { stdout } = await first.pod.session.exec(first.container, "rejoined", [
      "echo",
      "with the old keys",
    ]);
    must(
      stdout === "with the old keys\n",
      "the link could not be made again with the keys of before the restart",
    );
    for (const { pod, container } of [first, second]) {
      await pod.removeContainer(container);
      await pod.stop();
    }
  },
};

const SHIM_KILLED: Case = {
  name: "the VM of a shim that was killed and never says StopVM goes after the grace time",
  async run(stage) {
    stage.control();
    const { pod } = await stage.runPod();
    await pod[Symbol.asyncDispose]();
    await stage.journalHas(`SELECT 1 FROM stops WHERE sandbox_id = '${pod.id}'`);
    const late = stage.call((client) => client.startVM({ id: pod.id }, { timeoutMs: PATIENCE_MS }));
    must(codeOf(await rejection(late)) === 9, "a StartVM after the stop was not refused");
  },
};

/** Clouds and shims that do not do what they should. */
export const CLOUD_CASES: readonly Case[] = [
  SHIM_KILLED,
  TUNNELS,
  vmEndCase("vanish", "somebody else deleted"),
  vmEndCase("kill", "lost its power"),
  FAILED_DELETES,
  CONCURRENT_LIMIT,
];
