import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROGRAM } from "../node/child.ts";
import { type Case, codeOf, must, rejection } from "./case.ts";
import { never, type RunningPod, type Stage } from "./stage.ts";

/** ttrpc's DataLoss, as in docs/errors.md. */
const JOURNAL_CODE = 15;

async function execWorks({ pod, container }: RunningPod, name: string): Promise<void> {
  const { stdout } = await pod.session.exec(container, name, ["echo", "on"]);
  must(stdout === "on\n", `exec printed ${JSON.stringify(stdout)}`);
}

async function end({ pod, container }: RunningPod): Promise<void> {
  await pod.removeContainer(container);
  await pod.stop();
}

/** Runs `cloud-api-adaptor journal <what>` beside what runs. */
function journalCommand(
  stage: Stage,
  what: "check" | "show",
): { readonly status: number | null; readonly text: string } {
  const args = ["journal", what, `-state-dir=${stage.node.stateDir}`];
  const { status, stdout, stderr } = spawnSync(PROGRAM, args, { encoding: "utf8" });
  return { status, text: `${stdout}${stderr}` };
}

/** A control plane that must end by itself, and what it said. */
async function refusesToStart(stage: Stage): Promise<string> {
  const before = stage.node.children.find((child) => child.name === "adaptor")?.log().length ?? 0;
  const child = stage.control();
  await child.exited;
  must(child.process.exitCode !== 0, "a control plane that cannot use its journal ended with status 0");
  return child.log().slice(before);
}

const GARBLED: Case = {
  name: "a damaged journal: no control plane starts, the pod runs on, and `journal check` says what to do",
  async run(stage) {
    const control = stage.control();
    const running = await stage.runPod();
    const shown = journalCommand(stage, "show");
    must(shown.status === 0 && shown.text.includes(running.pod.id), "journal show does not show the sandbox");
    must(!shown.text.includes("PRIVATE KEY"), "journal show prints a key");
    must(journalCommand(stage, "check").status === 0, "journal check finds something in a sound journal");
    await control.kill("SIGTERM");
    const path = join(stage.node.stateDir, "journal.db");
    const sound = readFileSync(path);
    writeFileSync(path, Buffer.alloc(sound.length, "damage"));
    for (const suffix of ["-wal", "-shm"]) rmSync(path + suffix, { force: true });
    const said = await refusesToStart(stage);
    must(said.includes("journal check"), `it does not say what to do: ${said}`);
    const checked = journalCommand(stage, "check");
    must(
      checked.status === 1 && checked.text.includes("drain the node"),
      `journal check says ${checked.text}`,
    );
    await execWorks(running, "without-journal");
    writeFileSync(path, sound);
    stage.control();
    await stage.answers();
    await end(running);
  },
};

const DELETED: Case = {
  name: "a journal deleted under its control plane: no new VM is made, the text says why, and the pod can be stopped",
  stage: {},
  async run(stage) {
    const control = stage.control();
    const running = await stage.runPod();
    for (const name of ["journal.db", "journal.db-wal", "journal.db-shm"])
      rmSync(join(stage.node.stateDir, name), { force: true });
    const refused = await rejection(stage.newPod().pod.create());
    must(codeOf(refused) === JOURNAL_CODE && refused.message.includes("deleted"), String(refused));
    await execWorks(running, "journal-deleted");
    await end(running);
    await stage.until(
      async () => (await stage.cloud.inventory(never)).length === 0,
      () => "the VM was not deleted",
    );
    await control.kill("SIGTERM");
    stage.control();
    await stage.answers();
    const next = stage.newPod();
    await next.pod.create();
    await next.pod.stop();
  },
};

/** Puts the state folder on a disk of 1 MiB, in this mount namespace. */
function smallDisk(stage: Stage): void {
  const { stateDir } = stage.node;
  cpSync(stateDir, `${stateDir}.copy`, { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m,mode=0700", "small", stateDir]);
  cpSync(`${stateDir}.copy`, stateDir, { recursive: true });
  rmSync(`${stateDir}.copy`, { recursive: true });
}

const FULL_DISK: Case = {
  name: "a full disk: CreateVM is refused with what to do, the pod runs on, and all is well when there is room",
  needsRoot: true,
  stage: {},
  async run(stage) {
    smallDisk(stage);
    const control = stage.control();
    const running = await stage.runPod();
    const filler = join(stage.node.stateDir, "filler");
    spawnSync("dd", ["if=/dev/zero", `of=${filler}`, "bs=4096"], { stdio: "ignore" });
    must(statSync(filler).size > 0, "the disk could not be filled");
    let refused: Error | undefined;
    // The first may still fit into room that SQLite has already taken.
    for (let n = 0; n < 50 && refused === undefined; n++) {
      const { pod } = stage.newPod();
      refused = await pod.create().then(
        () => undefined,
        (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
      );
      if (refused === undefined)
        await pod.stop().catch((error: unknown) => (refused = error instanceof Error ? error : undefined));
    }
    must(
      refused !== undefined && codeOf(refused) === JOURNAL_CODE,
      `50 CreateVM on a full disk: ${String(refused)}`,
    );
    must(refused.message.includes("disk"), refused.message);
    await execWorks(running, "disk-full");
    rmSync(filler);
    await end(running);
    const next = stage.newPod();
    await next.pod.create();
    await next.pod.stop();
    await stage.until(
      () => stage.journal("SELECT 1 FROM sandboxes").length === 0,
      () => "the journal still has sandboxes",
    );
    await control.kill("SIGTERM");
    execFileSync("umount", ["-l", stage.node.stateDir]);
  },
};

const READ_ONLY: Case = {
  name: "a read-only state folder: no control plane starts, the pod runs on, and the next start serves again",
  needsRoot: true,
  stage: {},
  async run(stage) {
    const control = stage.control();
    const running = await stage.runPod();
    await control.kill("SIGTERM");
    const { stateDir } = stage.node;
    mkdirSync(stateDir, { recursive: true });
    execFileSync("mount", ["--bind", stateDir, stateDir]);
    execFileSync("mount", ["-o", "remount,ro,bind", stateDir]);
    const said = await refusesToStart(stage);
    must(said.includes("writable") || said.includes("read-only"), `it does not say what is wrong: ${said}`);
    await execWorks(running, "read-only");
    execFileSync("umount", [stateDir]);
    stage.control();
    await stage.answers();
    await end(running);
  },
};

const LOCK_REMOVED: Case = {
  name: "a control plane whose lock file was removed ends by itself, and the next one serves the pod that ran on",
  stage: {},
  async run(stage) {
    const control = stage.control();
    const running = await stage.runPod();
    rmSync(join(stage.node.stateDir, "lock.db"));
    await control.exited;
    must(control.process.exitCode === 1, `it ended with status ${control.process.exitCode}`);
    await execWorks(running, "lock-removed");
    stage.control();
    await stage.answers();
    await end(running);
  },
};

/** Journals and disks that fail. */
export const DAMAGE_CASES: readonly Case[] = [GARBLED, READ_ONLY, FULL_DISK, DELETED, LOCK_REMOVED];
