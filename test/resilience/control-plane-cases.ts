import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../crash-matrix/matrix-node.ts";
import type { Child } from "../node/child.ts";
import { newId } from "../shim/played-pod.ts";
import { PlayedShim, podAnnotations } from "../shim/played-shim.ts";
import { type Case, codeOf, must, rejection } from "./case.ts";
import { never, PATIENCE_MS, type Stage } from "./stage.ts";

/** What the Rust shim gives a StopVM, milliseconds, and how often it tries (reference of real peers). */
const RUST_STOP_TIMEOUT_MS = 1000;
const RUST_STOP_TRIES = 3;

/** A control plane that writes down which steps it took, in a file of its own. */
function traced(stage: Stage, name: string, stopAt = ""): { readonly child: Child; steps(): string[] } {
  const file = join(stage.node.dir, `points-${name}`);
  appendFileSync(file, "");
  const child = stage.control([], { PEERPODS_TEST_POINTS_FILE: file, PEERPODS_TEST_STOP_AT: stopAt });
  return { child, steps: () => readFileSync(file, "utf8").trim().split("\n") };
}

/** Resolves when the process has stopped itself at its point. */
async function stopped(child: Child): Promise<void> {
  const state = (): string => {
    const path = `/proc/${child.process.pid}/status`;
    return existsSync(path) ? (/^State:\s+(\S)/m.exec(readFileSync(path, "utf8"))?.[1] ?? "") : "";
  };
  await until(
    () => (state() === "T" ? true : undefined),
    PATIENCE_MS,
    () => `the control plane never came to its point:\n${child.log().slice(-2000)}`,
  );
}

/** Kills the control plane at a step of a call's, and lets the next one answer that call. */
async function killedAt(stage: Stage, point: string, call: () => Promise<unknown>): Promise<Child> {
  const { child } = traced(stage, newId(), point);
  const answer = call();
  answer.catch(() => undefined);
  await stopped(child);
  await child.kill("SIGKILL");
  const next = stage.control();
  await answer;
  return next;
}

const KILLED_IN_THE_MIDDLE: Case = {
  name: "a CreateVM, a StartVM and a StopVM in progress survive kill -9 and only take longer",
  async run(stage) {
    const { pod } = stage.newPod();
    await (await killedAt(stage, "journal.reserve after", () => pod.create())).kill("SIGKILL");
    await (await killedAt(stage, "journal.vm-id-known after", () => pod.start())).kill("SIGKILL");
    await pod.openSandbox();
    await killedAt(stage, "provider.delete before", () => pod.stop());
    must(
      (await stage.cloud.inventory(never)).length === 0,
      "the VM is still there after StopVM was answered",
    );
  },
};

const CRASH_LOOP: Case = {
  name: "five crashes in a row are not noticed by a running pod",
  async run(stage) {
    let control = stage.control();
    const { pod, container } = await stage.runPod();
    for (let n = 0; n < 5; n++) {
      await control.kill("SIGKILL");
      const { stdout } = await pod.session.exec(container, `crash-${n}`, ["echo", `${n}`]);
      must(stdout === `${n}\n`, `exec without a control plane printed ${JSON.stringify(stdout)}`);
      control = stage.control();
    }
    await pod.removeContainer(container);
    await pod.stop();
  },
};

const POISON: Case = {
  name: "a StartVM under which three control planes die is answered 13 and undone, and the fourth serves others",
  async run(stage) {
    const { pod } = stage.newPod();
    const first = stage.control();
    await pod.create();
    await first.kill("SIGKILL");
    const start = pod.start();
    start.catch(() => undefined);
    for (let n = 0; n < 3; n++) {
      // The second and third find the VM in the journal, so they get to another step of the same call.
      const { child } = traced(
        stage,
        newId(),
        n === 0 ? "provider.create before" : "journal.begin-start before",
      );
      await stopped(child);
      await child.kill("SIGKILL");
    }
    stage.control();
    const error = await rejection(start);
    must(codeOf(error) === 13, `StartVM ended with ${String(error)}`);
    await stage.journalHas(`SELECT 1 FROM stops WHERE sandbox_id = '${pod.id}'`);
    const other = stage.newPod();
    await other.pod.create();
    await other.pod.stop();
  },
};

const WAITING: Case = {
  name: "calls made while no control plane runs wait for it",
  async run(stage) {
    const { pod } = stage.newPod();
    const calls = [pod.create(), stage.call((client) => client.version({ version: "" }))];
    stage.control();
    await Promise.all(calls);
    const vmId = stage.node.shim.vmId(pod.pod, true, PATIENCE_MS);
    await Promise.all([pod.start(), vmId]);
    await pod.stop();
  },
};

const CALLER_LEFT: Case = {
  name: "a StartVM whose shim died while no control plane ran is undone by the next one",
  async run(stage) {
    const control = traced(stage, newId(), "journal.vm-id-known after");
    const { pod, network } = stage.newPod();
    const shim = new PlayedShim(stage.node.hypervisorSocket);
    const id = newId();
    await shim.createVm(id, podAnnotations(pod.pod), network.netns);
    const start = shim.startVm(id);
    start.catch(() => undefined);
    await stopped(control.child);
    await control.child.kill("SIGKILL");
    await shim.die();
    await rejection(start);
    stage.control();
    // clear() checks that VM, tunnel and journal rows go though nobody says StopVM.
  },
};

const CALLER_LEFT_AT_THE_END: Case = {
  name: "the VM of a shim that is killed just before the answer to its StartVM goes after the grace time",
  async run(stage) {
    const control = traced(stage, newId(), "journal.running after");
    const { pod, network } = stage.newPod();
    const shim = new PlayedShim(stage.node.hypervisorSocket);
    const id = newId();
    await shim.createVm(id, podAnnotations(pod.pod), network.netns);
    const start = shim.startVm(id);
    start.catch(() => undefined);
    await stopped(control.child);
    await shim.die();
    await rejection(start);
    control.child.process.kill("SIGCONT");
  },
};

const SHORT_STOPS: Case = {
  name: "a StopVM that the Rust shim gave 1 s, three times, while no control plane ran, is carried out by the next",
  async run(stage) {
    const control = stage.control();
    const { pod } = await stage.runPod();
    await pod[Symbol.asyncDispose]();
    await control.kill("SIGKILL");
    for (let n = 0; n < RUST_STOP_TRIES; n++) {
      const stop = stage.call((client) => client.stopVM({ id: pod.id }, { timeoutMs: RUST_STOP_TIMEOUT_MS }));
      must(codeOf(await rejection(stop)) === 4, "a StopVM without a control plane did not run out of time");
    }
    stage.control(["-orphan-grace=1h"]); // So that only the stop itself can be the reason.
    await stage.until(
      async () => (await stage.cloud.inventory(never)).length === 0,
      () => "the VM lives on though its StopVM was sent",
    );
  },
};

const STANDBY: Case = {
  name: "of two control planes only the owner acts, and a SIGTERM in a StartVM hands it to the standby",
  async run(stage) {
    await stage.cloud.settings({ bootDelayMs: 1500 }, never);
    const owner = traced(stage, newId());
    await stage.answers();
    const standby = traced(stage, newId());
    await stage.until(
      () => standby.child.log().includes("standing by"),
      () => "the second control plane does not stand by",
    );
    const { pod } = stage.newPod();
    await pod.create();
    const start = pod.start();
    start.catch(() => undefined);
    await stage.node.shim.vmId(pod.pod, true, PATIENCE_MS);
    must(standby.steps().join("") === "", `the standby acted: ${standby.steps().join(", ")}`);
    await owner.child.kill("SIGTERM");
    must(owner.child.process.exitCode === 0, `the old owner ended with ${owner.child.process.exitCode}`);
    await start;
    const made = (steps: readonly string[]): number =>
      steps.filter((step) => step === "journal.running after").length;
    must(made(owner.steps()) === 0 && made(standby.steps()) === 1, "the wrong one finished StartVM");
    await stage.vmOf(pod);
    await pod.openSandbox();
    await pod.stop();
  },
};

/** Connects and calls as fast as it can until told to end; the first failure ends it. */
function knock(stage: Stage): { end(): Promise<number> } {
  let ended = false;
  let calls = 0;
  const loop = async (): Promise<number> => {
    while (!ended) {
      await stage.call((client) => client.version({ version: "" }));
      calls++;
    }
    return calls;
  };
  const done = loop();
  done.catch(() => undefined);
  return {
    end() {
      ended = true;
      return done;
    },
  };
}

const TIGHT_LOOP: Case = {
  name: "who connects and calls in a tight loop sees no failure through hand-overs and kill -9",
  async run(stage) {
    let control = stage.control();
    const visitor = knock(stage);
    for (let n = 0; n < 2; n++) {
      await stage.answers();
      const standby = stage.control();
      await control.kill("SIGTERM");
      control = standby;
      await stage.answers();
      await control.kill("SIGKILL");
      control = stage.control();
    }
    await stage.answers();
    must((await visitor.end()) > 0, "not a single call was answered");
  },
};

/** What happens to control planes. */
export const CONTROL_PLANE_CASES: readonly Case[] = [
  KILLED_IN_THE_MIDDLE,
  CRASH_LOOP,
  WAITING,
  CALLER_LEFT,
  CALLER_LEFT_AT_THE_END,
  SHORT_STOPS,
  POISON,
  STANDBY,
  TIGHT_LOOP,
];
