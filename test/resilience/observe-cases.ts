import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { type Child, ROOT } from "../node/child.ts";
import { isRoot } from "../node/namespaces.ts";
import { review, startClusterProcesses } from "../observe/cluster-processes.ts";
import { deployedExpressions } from "../observe/deployed.ts";
import { readExpression } from "../observe/promql.ts";
import { missingIn, readSamples, type Sample } from "../observe/samples.ts";
import { type Case, must, rejection } from "./case.ts";
import { never, type Stage } from "./stage.ts";

/** A port that nobody listens on now. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        address === null || typeof address === "string"
          ? reject(new Error("no port"))
          : resolve(address.port),
      );
    });
  });
}

async function scrape(port: number): Promise<Sample[]> {
  const answer = await fetch(`http://127.0.0.1:${port}/metrics`);
  must(answer.status === 200, `GET /metrics was answered ${answer.status}`);
  return readSamples(await answer.text());
}

/** Resolves with the samples when `enough` finds them so; an adaptor that has just begun may not listen yet. */
async function scraped(
  stage: Stage,
  port: number,
  enough: (samples: readonly Sample[]) => boolean,
): Promise<Sample[]> {
  let last: Sample[] = [];
  await stage.until(
    async () => {
      last = await scrape(port).catch(() => []);
      return enough(last);
    },
    () =>
      `the metrics never told it; last:\n${last.map(({ name, labels, value }) => `${name} ${JSON.stringify(labels)} ${value}`).join("\n")}`,
  );
  return last;
}

const sumOf = (
  samples: readonly Sample[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number =>
  samples
    .filter(
      (one) => one.name === name && Object.entries(labels).every(([key, text]) => one.labels[key] === text),
    )
    .reduce((sum, { value }) => sum + value, 0);

/** A pod's life, and what may go wrong with the cloud in it. */
async function goThroughThings(stage: Stage): Promise<void> {
  const pod = await stage.runPod();
  for (const kind of ["throttled", "unauthorised", "unavailable"] as const) {
    await stage.cloud.fault({ operation: "create", kind }, never);
    const refused = stage.newPod().pod;
    await refused.create();
    await rejection(refused.start());
    await refused.stop();
  }
  await stage.cloud.fault({ operation: "delete", kind: "throttled" }, never);
  await stage.endPod(pod);
}

/** What controller and webhook tell, when they have done something. */
async function clusterSamples(stage: Stage): Promise<Sample[]> {
  const [controller, controllerHealth, webhook, webhookServer, webhookHealth] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const ports = { controller, controllerHealth, webhook, webhookServer, webhookHealth };
  await using started = await startClusterProcesses(
    stage.node.dir,
    ports,
    join(stage.node.dir, "cloud.sock"),
  );
  await stage.until(
    async () => (await review(webhookServer).catch(() => 0)) === 200,
    () => `the webhook reviews nothing:\n${started.children.map((child) => child.log()).join("\n")}`,
  );
  return [
    ...(await scraped(
      stage,
      controller,
      (all) =>
        sumOf(all, "peerpods_controller_peer_pods_total", { action: "released" }) === 1 &&
        sumOf(all, "peerpods_controller_sweeps_total", { outcome: "ok" }) > 0,
    )),
    ...(await scraped(stage, webhook, (all) => sumOf(all, "peerpods_webhook_reviews_total") > 0)),
  ];
}

const DEPLOYED: Case = {
  name: "every series that a dashboard or an alert names is told by processes that have been through things",
  stage: { limit: 10, machineRoomFlags: ["-quota=20"] },
  async run(stage) {
    const port = await freePort();
    stage.control([`-metrics-address=127.0.0.1:${port}`]);
    await goThroughThings(stage);
    const samples = [
      ...(await scraped(stage, port, (all) => sumOf(all, "peerpods_cloud_quota_vms_left") > 0)),
      ...(await clusterSamples(stage)),
    ];
    const missing = deployedExpressions().flatMap(({ where, text }) =>
      missingIn(samples, readExpression(text)).map((what) => `${where}: ${what}`),
    );
    must(missing.length === 0, () => missing.join("\n"));
    const names = JSON.stringify(samples);
    must(!/pod-\d|resilience|podvm-/.test(names), "a metric names a pod or a VM");
  },
};

const LIFE: Case = {
  name: "metrics follow a pod through its life, and outlive the adaptor where the shim-proxy counts",
  async run(stage) {
    const port = await freePort();
    const flags = [`-metrics-address=127.0.0.1:${port}`];
    const control = stage.control(flags);
    const pod = await stage.runPod();
    const running = await scraped(
      stage,
      port,
      (all) => sumOf(all, "peerpods_sandboxes", { state: "running" }) === 1,
    );
    must(sumOf(running, "peerpods_vms", { state: "running" }) === 1, "the VM is not counted");
    must(sumOf(running, "peerpods_links", { state: "up" }) === 1, "the link is not counted");
    must(sumOf(running, "peerpods_vm_slots_used") === 1, "the slot is not counted");
    const started = sumOf(running, "peerpods_step_duration_seconds_count", { step: "start" });
    must(started === 1, `${started} starts are counted`);
    const bytes = sumOf(running, "peerpods_link_bytes_total", { direction: "to-vm" });
    must(bytes > 0, "no bytes are counted");
    await control.kill("SIGKILL");
    stage.control(flags);
    const after = await scraped(stage, port, (all) => sumOf(all, "peerpods_shim_proxy_attached") === 1);
    must(
      sumOf(after, "peerpods_owner_epoch") > sumOf(running, "peerpods_owner_epoch"),
      "the epoch did not grow",
    );
    must(
      sumOf(after, "peerpods_link_bytes_total", { direction: "to-vm" }) >= bytes,
      "the shim-proxy's counts began anew",
    );
    must(
      sumOf(after, "peerpods_shim_proxy_start_time_seconds") ===
        sumOf(running, "peerpods_shim_proxy_start_time_seconds"),
      "the shim-proxy seems to have been restarted",
    );
    await stage.endPod(pod);
    await scraped(stage, port, (all) => sumOf(all, "peerpods_vm_slots_used") === 0);
  },
};

/** The log lines of a process, parsed; a line that is no JSON fails the case. */
function linesOf(child: Child): Readonly<Record<string, unknown>>[] {
  return child
    .log()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const value: unknown = JSON.parse(line);
      must(typeof value === "object" && value !== null, `a log line is no object: ${line}`);
      return Object.fromEntries(Object.entries(value));
    });
}

/** What the adaptor says, in order, of a pod's life without trouble. */
const STEPS = ["create", "vm.create", "tunnel.set-up", "link", "start", "tunnel.remove", "vm.delete", "stop"];

const LOGS: Case = {
  name: "the log has a line for each step of a pod's life, with sandbox, pod, VM and time taken",
  stage: {},
  async run(stage) {
    const control = stage.control(["-log-level=info"]);
    const running = await stage.runPod();
    const name = `resilience/${running.pod.pod.name}`;
    await stage.endPod(running);
    const own = linesOf(control).filter(({ sandboxId }) => sandboxId === running.pod.id);
    const steps = own.map(({ step }) => String(step));
    const expected = STEPS.filter((step) => isRoot || !step.startsWith("tunnel"));
    const missing = expected.filter((step) => !steps.includes(step));
    must(missing.length === 0, `no line for ${missing.join(", ")} in ${JSON.stringify(own, null, 1)}`);
    for (const line of own) {
      must(line["pod"] === name, `a line does not name the pod: ${JSON.stringify(line)}`);
      must(
        String(line["vmName"]).startsWith("podvm-"),
        `a line does not name the VM: ${JSON.stringify(line)}`,
      );
      must(typeof line["durationMs"] === "number", `a line tells no time: ${JSON.stringify(line)}`);
    }
    const documented = readFileSync(join(ROOT, "docs/logs.md"), "utf8");
    const keys = new Set([...linesOf(control), ...linesOf(stage.proxy)].flatMap((line) => Object.keys(line)));
    const secret = [...keys].filter((key) => !documented.includes(`\`${key}\``));
    must(secret.length === 0, `docs/logs.md does not tell of ${secret.join(", ")}`);
  },
};

/** What people see of it, tried with real processes. */
export const OBSERVE_CASES: readonly Case[] = [LIFE, LOGS, DEPLOYED];
