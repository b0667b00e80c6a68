import { join } from "node:path";
import { askAdmin } from "../../src/admin/client.ts";
import { parseStatus, type Status } from "../../src/admin/status.ts";
import { FakeApi, serveFakeApi } from "../fakes/kubernetes/index.ts";
import type { PlayedPod } from "../shim/played-pod.ts";
import { type Case, must } from "./case.ts";
import { never, PATIENCE_MS, type Stage } from "./stage.ts";

const NODE = "live-node";
const NAMESPACE = "own";
/** Longer than it takes to stop the machine room once a VM is seen. */
const BOOT_DELAY_MS = 3000;

async function statusOf(stage: Stage): Promise<Status> {
  const request = { method: "GET", path: "/status", timeoutMs: PATIENCE_MS } as const;
  return parseStatus((await askAdmin(join(stage.node.runDir, "admin.sock"), request)).body);
}

/** The value of a tag of each VM, by the VM's name. */
async function tagOfVms(stage: Stage, key: string): Promise<ReadonlyMap<string, string | undefined>> {
  const { vms } = await stage.cloud.list({ tags: {}, names: [], after: undefined }, never);
  return new Map(vms.map((vm) => [vm.name, vm.tags[key]]));
}

const LIVE_CHANGE: Case = {
  name: "a change of peer-pods-cm in the middle of a StartVM counts for the next pod; no VM is lost, and both are deleted",
  async run(stage) {
    const api = new FakeApi();
    const configure = (data: Readonly<Record<string, string>>): void => {
      api.put("configmaps", { metadata: { name: "peer-pods-cm", namespace: NAMESPACE }, data });
    };
    api.put("namespaces", { metadata: { name: "kube-system" } });
    api.put("nodes", { metadata: { name: NODE }, status: { capacity: {} } });
    configure({ MOCK_TAGS: "generation=1" });
    await using server = await serveFakeApi(api);
    const control = stage.control([], {
      NODE_NAME: NODE,
      POD_NAMESPACE: NAMESPACE,
      PEERPODS_KUBECONFIG: server.kubeconfigFile,
      MOCK_TAGS: "generation=1",
    });
    await stage.answers();
    await stage.cloud.settings({ bootDelayMs: BOOT_DELAY_MS }, never);
    const first = stage.newPod().pod;
    await first.create();
    const starting = first.start();
    starting.catch(() => undefined);
    await stage.until(
      async () => (await tagOfVms(stage, "generation")).size > 0,
      () => `the first VM never came:\n${control.log().slice(-4000)}`,
    );
    // From here on the cloud does not answer, so that the first start cannot end before the change.
    const [machineRoom] = stage.node.children.filter(({ name }) => name === "mock-cloud");
    must(machineRoom !== undefined, "no machine room runs");
    machineRoom.process.kill("SIGSTOP");
    configure({ MOCK_TAGS: "generation=2", MOCK_USER_DATA_LIMIT: "none" });
    await stage.until(
      async () => (await statusOf(stage)).configuration.changedAt !== null,
      () => `the change never counted:\n${control.log().slice(-4000)}`,
    );
    const { configuration, pods } = await statusOf(stage);
    must(pods[0]?.phase === "starting", `the first pod is ${pods[0]?.phase}`);
    must(
      configuration.wrong.map(({ key }) => key).join() === "MOCK_USER_DATA_LIMIT",
      `status tells of ${JSON.stringify(configuration.wrong)}`,
    );
    machineRoom.process.kill("SIGCONT");
    await stage.cloud.settings({ bootDelayMs: 0 }, never);
    const second = stage.newPod().pod;
    await second.create();
    const connect = async (pod: PlayedPod, started: Promise<void>): Promise<void> => {
      await started;
      await pod.openSandbox();
    };
    await Promise.all([connect(first, starting), connect(second, second.start())]);
    const tags = await tagOfVms(stage, "generation");
    const [one, two] = [await stage.vmOf(first), await stage.vmOf(second)];
    must(tags.get(one.name) === "1", `the first VM has generation ${tags.get(one.name)}`);
    must(tags.get(two.name) === "2", `the second VM has generation ${tags.get(two.name)}`);
    await Promise.all([first.stop(), second.stop()]);
    must((await tagOfVms(stage, "generation")).size === 0, "a VM was left behind");
    await control.kill("SIGTERM");
  },
};

/** Settings that change while the adaptor runs. */
export const CONFIG_CASES: readonly Case[] = [LIVE_CHANGE];
