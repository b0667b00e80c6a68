import { FakeApi, serveFakeApi } from "../../test/fakes/kubernetes/index.ts";
import { startFakeCloud } from "../../test/node/fake-cloud.ts";
import { isRoot } from "../../test/node/namespaces.ts";
import { type Memory, sleep } from "../processes.ts";
import type { Site } from "../site.ts";
import { HeldPod } from "./held-pod.ts";
import { ManyNetworks } from "./networks.ts";
import { startStubRoom } from "./room.ts";
import { inTurns } from "./steps.ts";

const NODE = "bench-node";
const PODS = 20;
/** For what starts and stops with the pods to come to an end. */
const REST_MS = 5_000;

/** Memory with the Azure provider in a cluster, by process, with no pods and with 20. */
export interface ClusterMemory {
  readonly empty: Readonly<Record<string, Memory>>;
  readonly full: Readonly<Record<string, Memory>>;
}

/** Azure and the API server are the fakes of test/fakes; the VMs are stubs. Only our own processes are counted. */
export async function measureClusterMemory(site: Site): Promise<ClusterMemory> {
  await using stack = new AsyncDisposableStack();
  const room = await startStubRoom(site.node.dir, isRoot);
  stack.defer(() => room.kill());
  const azure = await startFakeCloud("azure", {
    dir: site.node.dir,
    machineRoom: room.socket,
    flags: ["--create-ms", "10", "--delete-ms", "10"],
  });
  stack.defer(() => {
    azure.process.kill("SIGKILL");
  });
  const networks = new ManyNetworks(isRoot);
  stack.defer(() => networks.remove());
  networks.make(PODS);
  const api = new FakeApi();
  api.put("namespaces", { metadata: { name: "kube-system", uid: "bench" } });
  api.put("nodes", { metadata: { name: NODE }, status: { capacity: {} } });
  const server = stack.use(await serveFakeApi(api));
  const env = { ...azure.env, NODE_NAME: NODE, PEERPODS_KUBECONFIG: server.kubeconfigFile };
  const starter = site.starter(stack, {
    name: "script-cluster",
    cloudSocket: room.socket,
    cloud: { provider: "azure", env },
  });
  site.note(`memory with Azure and Kubernetes, ${PODS} pods`);
  const ours = await starter.ours();
  stack.defer(() => ours.kill());
  const empty = ours.memoryByProcess();
  const pods = Array.from({ length: PODS }, (_, n) => new HeldPod(ours, networks.get(n)));
  for (const { identity } of pods)
    api.put("pods", {
      metadata: { ...identity },
      spec: { nodeName: NODE, containers: [{ image: "bench" }] },
    });
  await inTurns(pods, PODS, (pod) => pod.ready());
  await sleep(REST_MS);
  const full = ours.memoryByProcess();
  for (const pod of pods) await pod.leave();
  // All that was made goes with the processes and namespaces of this section.
  return { empty, full };
}
