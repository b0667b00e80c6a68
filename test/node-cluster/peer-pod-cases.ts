import { readlink } from "node:fs/promises";
import * as v from "valibot";
import { check, same } from "../real/case.ts";
import { until } from "../real/service.ts";
import type { NodeCase } from "./case.ts";
import { BUSYBOX_IMAGE } from "./configs.ts";
import type { ClusterNode } from "./node.ts";
import { PodSpace } from "./pods.ts";

const VM_GONE_TIMEOUT_MS = 60_000;
const NAMESPACES = ["net", "pid", "mnt", "uts", "ipc"] as const;

/** The VMs of pods of this name. */
async function vmsOf(node: ClusterNode, pod: string): Promise<readonly string[]> {
  return (await node.room.vms()).filter(({ name }) => name.includes(`-${pod}-`)).map(({ id }) => id);
}

const PeerPods = v.object({
  items: v.array(
    v.object({ metadata: v.object({ ownerReferences: v.array(v.object({ name: v.string() })) }) }),
  ),
});

/** The pods that own the PeerPod objects of a namespace. */
async function peerPodsOf(node: ClusterNode, namespace: string): Promise<readonly string[]> {
  const { stdout } = await node.kubectl("-n", namespace, "get", "peerpods", "-o", "json");
  const { items } = v.parse(PeerPods, JSON.parse(stdout));
  return items.flatMap(({ metadata }) => metadata.ownerReferences.map(({ name }) => name));
}

const isolated: NodeCase = {
  name: "a peer pod runs in a VM of its own, of which the node holds nothing but the tunnel",
  needsShim: true,
  run: async (node) => {
    await using space = await PodSpace.make(node, "isolated");
    await space.create("isolated", { peer: true });
    await space.ready("isolated");
    same("VMs", (await vmsOf(node, "isolated")).length, 1);
    // The machine room's VMs have the node's kernel, so uname -r is the same there; their namespaces are not.
    for (const kind of NAMESPACES) {
      const inside = await space.exec("isolated", "readlink", `/proc/self/ns/${kind}`);
      const outside = await readlink(`/proc/self/ns/${kind}`);
      check(inside.trim() !== outside, () => `the pod has the node's namespace ${kind}`);
    }
    same("owners of PeerPods", (await peerPodsOf(node, space.name)).join(), "isolated");
    same("host name", (await space.exec("isolated", "hostname")).trim(), "isolated");
    await space.remove("isolated");
    await until("the VM gone", VM_GONE_TIMEOUT_MS, async () => (await vmsOf(node, "isolated")).length === 0);
    await until(
      "its PeerPod gone",
      VM_GONE_TIMEOUT_MS,
      async () => (await peerPodsOf(node, space.name)).length === 0,
    );
    return `uname -r and namespaces ${NAMESPACES.join(", ")} compared`;
  },
};

const execAndLogs: NodeCase = {
  name: "kubectl exec, with input and exit codes, and kubectl logs reach a peer pod",
  needsShim: true,
  run: async (node) => {
    await using space = await PodSpace.make(node, "exec");
    await space.create("exec", { peer: true });
    await space.ready("exec");
    const inPod = (...command: readonly string[]) =>
      node.kubectl("-n", space.name, "exec", "exec", "--", ...command);
    same("exit code", (await inPod("sh", "-c", "exit 42")).code, 42);
    const streams = await inPod("sh", "-c", "echo out; echo err >&2");
    same("standard output", streams.stdout, "out\n");
    check(streams.stderr.includes("err\n"), () => `standard error is ${streams.stderr}`);
    const input = ["-n", space.name, "exec", "-i", "exec", "--", "md5sum"];
    const piped = await node.kubectlWithInput("hello\n", ...input);
    same("sum of the input", piped.stdout.trim(), "b1946ac92492d2347c6235b4d2611184  -");
    same("logs", (await node.kubectl("-n", space.name, "logs", "exec")).stdout, "ready\n");
    return "exit code 42; both streams; input";
  },
};

const probes: NodeCase = {
  name: "the kubelet's probes reach a peer pod: not ready while one fails, restarted when it is not alive",
  needsShim: true,
  run: async (node) => {
    await using space = await PodSpace.make(node, "probes");
    const often = { periodSeconds: 1, failureThreshold: 2, timeoutSeconds: 10 };
    await space.create("probes", {
      peer: true,
      container: {
        command: ["sh", "-c", "mkdir /www; touch /www/ready /alive; exec httpd -f -p 8080 -h /www"],
        readinessProbe: { ...often, httpGet: { path: "/ready", port: 8080 } },
        livenessProbe: { ...often, exec: { command: ["test", "-e", "/alive"] } },
      },
    });
    await space.ready("probes");
    const [vm] = await vmsOf(node, "probes");
    await space.exec("probes", "rm", "/www/ready");
    await space.until("probes", ({ status }) =>
      Boolean(status?.conditions?.some((one) => one.type === "Ready" && one.status === "False")),
    );
    await space.exec("probes", "touch", "/www/ready");
    await space.ready("probes");
    await space.exec("probes", "rm", "/alive");
    await space.until("probes", ({ status }) => status?.containerStatuses?.[0]?.restartCount === 1);
    await space.ready("probes");
    same("VM after the container's restart", (await vmsOf(node, "probes")).join(), vm);
    return "readiness by HTTP, liveness by exec; the restart stays in the VM";
  },
};

const volumes: NodeCase = {
  name: "ConfigMap, Secret, downward API, service account token and emptyDir are in a peer pod, and changes arrive",
  needsShim: true,
  run: async (node) => {
    await using space = await PodSpace.make(node, "volumes");
    const { core } = node.cluster.api;
    const where = { namespace: space.name };
    const data = { key: "one" };
    await core.createNamespacedConfigMap({ ...where, body: { metadata: { name: "map" }, data } });
    await core.createNamespacedSecret({ ...where, body: { metadata: { name: "secret" }, stringData: data } });
    const fieldRef = { fieldPath: "metadata.name" };
    await space.create("volumes", {
      peer: true,
      container: {
        volumeMounts: ["map", "secret", "down", "empty"].map((name) => ({ name, mountPath: `/${name}` })),
      },
      volumes: [
        { name: "map", configMap: { name: "map" } },
        { name: "secret", secret: { secretName: "secret" } },
        { name: "down", downwardAPI: { items: [{ path: "name", fieldRef }] } },
        { name: "empty", emptyDir: {} },
      ],
    });
    await space.ready("volumes");
    const token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    const read = `cat /map/key; echo; cat /secret/key; echo; cat /down/name; echo; touch /empty/x && ls /empty; wc -c <${token}`;
    const seen = (await space.exec("volumes", "sh", "-c", read)).split("\n");
    same("files", seen.slice(0, 4).join(), "one,one,volumes,x");
    check(Number(seen[4]) > 100, () => `the token has ${seen[4]} bytes`);
    await core.replaceNamespacedConfigMap({
      ...where,
      name: "map",
      body: { metadata: { name: "map" }, data: { key: "two" } },
    });
    await until("the change in the pod", 120_000, async () =>
      (await space.exec("volumes", "cat", "/map/key")).includes("two"),
    );
    return "";
  },
};

const job: NodeCase = {
  name: "a peer pod that runs to its end is Succeeded or Failed by its exit code, and its logs stay",
  needsShim: true,
  run: async (node) => {
    await using space = await PodSpace.make(node, "job");
    const ends = (code: number) => ({
      peer: true,
      restartPolicy: "Never",
      container: { command: ["sh", "-c", `echo bye; exit ${code}`] },
    });
    await space.create("good", ends(0));
    await space.create("bad", ends(3));
    await space.until("good", ({ status }) => status?.phase === "Succeeded");
    const bad = await space.until("bad", ({ status }) => status?.phase === "Failed");
    same("exit code", bad.status?.containerStatuses?.[0]?.state?.terminated?.exitCode, 3);
    same("logs", (await node.kubectl("-n", space.name, "logs", "good")).stdout, "bye\n");
    return `with image ${BUSYBOX_IMAGE}`;
  },
};

const service: NodeCase = {
  name: "a Service leads from an ordinary pod to a peer pod, and from a peer pod to an ordinary one",
  needsShim: true,
  run: async (node) => {
    await using space = await PodSpace.make(node, "service");
    const { core } = node.cluster.api;
    const serve = (text: string) => ({
      command: ["sh", "-c", `mkdir /www; echo ${text} >/www/index.html; exec httpd -f -p 8080 -h /www`],
      readinessProbe: { periodSeconds: 1, tcpSocket: { port: 8080 } },
    });
    for (const name of ["peer", "plain"]) {
      await space.create(name, { peer: name === "peer", container: serve(`from ${name}`), labels: { name } });
      await core.createNamespacedService({
        namespace: space.name,
        body: { metadata: { name }, spec: { selector: { name }, ports: [{ port: 80, targetPort: 8080 }] } },
      });
    }
    await Promise.all(["peer", "plain"].map((name) => space.ready(name)));
    const addressOf = async (name: string): Promise<string> =>
      (await core.readNamespacedService({ namespace: space.name, name })).spec?.clusterIP ?? "";
    for (const [from, to] of [
      ["plain", "peer"],
      ["peer", "plain"],
    ] as const) {
      const url = `http://${await addressOf(to)}/`;
      // kube-proxy follows a little later than the endpoint is ready.
      await until(`an answer to ${from} from ${to}`, 30_000, async () => {
        // busybox's own time limit, wget -T, ends in a segmentation fault in Debian 12.
        const get = ["exec", from, "--", "timeout", "5", "wget", "-q", "-O", "-", url];
        return (await node.kubectl("-n", space.name, ...get)).stdout === `from ${to}\n`;
      });
    }
    return "by cluster address, through kube-proxy";
  },
};

/** What a kubelet and its user do with a peer pod, under a stock shim. */
export const PEER_POD_CASES: readonly NodeCase[] = [isolated, execAndLogs, probes, volumes, job, service];
