// `make demo`: one peer pod from CreateVM to StopVM, with what is better than in the Go adaptor shown on the way.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BUSYBOX_PATH, makeOciLayout } from "../../providers/mock/guest/make-image.ts";
import { systemExec } from "../../src/platform/index.ts";
import { providePodVmImage, provideQemu } from "../kvm/prepare.ts";
import { isInside, isRoot, prepareNamespaces, rerunInNamespaces } from "../node/namespaces.ts";
import { added, filesBelow, networkState, processes } from "../node/residue.ts";
import { TestNode } from "../node/test-node.ts";
import { CONTAINER_IMAGE } from "../podvm-image/guest-files.ts";
import { newId, PlayedPod } from "../shim/played-pod.ts";
import { podAnnotations } from "../shim/played-shim.ts";
import { LIMITS_ASKED, realMachine } from "./machine.ts";
import { must, Report, Stop } from "./report.ts";
import { trafficBothWays } from "./traffic.ts";

const BREAKS = ["initdata", "tunnel", "exit-code", "leak"] as const;
const INITDATA_KEY = "io.katacontainers.config.hypervisor.cc_init_data";
/** Pulled from a folder of the machine room; a real machine has one in its own image. */
const IMAGE = process.env["PROVIDER"] === "kvm" ? CONTAINER_IMAGE : "docker.io/library/demo:latest";
const BOOT_DELAY = "1500ms";

const broken = process.env["DEMO_BREAK"] ?? "";
/**
 * `make demo PROVIDER=azure` (or ibmcloud): the same pod through the provider's real SDK and a fake of its cloud, which boots VMs in
 * the machine room. `PROVIDER=kvm`: the same pod in a real machine with a kernel of its own.
 */
const PROVIDERS = ["mock", "azure", "ibmcloud", "kvm"] as const;
const provider = PROVIDERS.find((name) => name === (process.env["PROVIDER"] ?? "mock"));
const report = new Report();

if (broken !== "" && !BREAKS.some((name) => name === broken)) {
  console.error(`DEMO_BREAK=${broken} is not known; give ${BREAKS.join(", ")} or nothing`);
  process.exit(2);
}
if (provider === undefined) {
  console.error(`PROVIDER=${process.env["PROVIDER"]} is not known; give ${PROVIDERS.join(" or ")}`);
  process.exit(2);
}
if (provider === "kvm" && !isInside) {
  const reason = provideQemu();
  if (reason !== undefined) {
    console.error(`PROVIDER=kvm ${reason}`);
    process.exit(2);
  }
  providePodVmImage();
}
if (isRoot && !isInside) process.exit(rerunInNamespaces(import.meta.filename, []));
process.exit(await demo());

async function demo(): Promise<number> {
  if (isRoot) prepareNamespaces();
  const before = { network: isRoot ? networkState() : [], processes: isRoot ? processes() : [] };
  let node: TestNode | undefined;
  try {
    node = new TestNode({
      root: isRoot,
      limit: 1,
      provider: provider ?? "mock",
      machineRoomFlags: [`-boot-delay=${BOOT_DELAY}`],
      ...(provider === "kvm" ? { kvmImage: providePodVmImage(), adaptorFlags: ["-pod-vm-sizing=aks"] } : {}),
    });
    await tour(node, before);
  } catch (error) {
    if (!(error instanceof Stop))
      report.note(`unexpected: ${error instanceof Error ? error.stack : String(error)}`);
    report.failed = true;
    if (process.env["DEMO_LOGS"] === "1" && node !== undefined)
      console.log(node.logs(20_000), node.vmConsoles());
    else report.note("DEMO_LOGS=1 make demo prints the logs of all processes");
  } finally {
    await node?.[Symbol.asyncDispose]();
  }
  report.end();
  return report.failed ? 1 : 0;
}

interface Before {
  readonly network: readonly string[];
  readonly processes: readonly string[];
}

async function tour(node: TestNode, before: Before): Promise<void> {
  const cloud = provider === "kvm" ? "QEMU as its cloud" : "a machine room (the cloud)";
  report.title(`A node with ${cloud}, a shim-proxy (data plane) and an adaptor (control plane)`);
  if (provider === "azure" || provider === "ibmcloud") {
    report.note(
      `the adaptor uses provider ${provider} with its real SDK, over https, against a fake of that cloud`,
    );
  }
  if (!isRoot) {
    report.note(
      "not root: VMs are processes on loopback addresses, containers plain processes, and there is no tunnel",
    );
  }
  if (provider !== "kvm") {
    await makeOciLayout(systemExec, join(node.imagesDir, "demo"), {
      name: IMAGE,
      contents: { busybox: BUSYBOX_PATH, files: {} },
    });
  }
  const room = provider === "kvm" ? undefined : await node.startMachineRoom();
  if (provider === "kvm") node.makeUplink();
  await node.startShimProxy();
  let adaptor = node.startControlPlane();
  report.note(
    `processes: ${room === undefined ? "" : `machine room ${room.process.pid}, `}shim-proxy and adaptor ${adaptor.process.pid}; state in ${node.dir}`,
  );
  const clean = { files: [...filesBelow(node.podsDir)] };

  const network = node.addPodNetwork("demo-pod");
  await using pod = new PlayedPod(node.shim, { name: "web", namespace: "demo" }, network.netns);
  const initdata = readFileSync(
    new URL("../fixtures/user-data/initdata-sha384.toml", import.meta.url),
    "utf8",
  );
  const sent = broken === "initdata" ? initdata.replace("kbs.example.test", "evil.example.test") : initdata;

  report.title("A shim creates and starts a pod; the adaptor is killed with -9 in the middle of StartVM");
  await report.claim("CreateVM answers with the agent's socket", async () => {
    await pod.create({ [INITDATA_KEY]: sent, ...(provider === "kvm" ? LIMITS_ASKED : {}) });
    return {
      seen: `pod ${pod.pod.namespace}/${pod.pod.name}, sandbox ${pod.id.slice(0, 12)}`,
      value: undefined,
    };
  });
  await report.claim("StartVM survives kill -9 of the adaptor", async () => {
    const start = pod.start();
    start.catch(() => undefined);
    await vmIsBooting(pod, node);
    await adaptor.kill("SIGKILL");
    adaptor = node.startControlPlane();
    await start;
    return { seen: "the shim's one call was answered by the next adaptor", value: undefined };
  });
  await report.claim("the VM booted and its agent answers", async () => {
    await pod.openSandbox();
    const { agentVersion } = await pod.session.health.version({ service: "" });
    return { seen: `agent ${agentVersion}, sandbox and pause container are there`, value: undefined };
  });

  report.title("A container runs in the VM");
  const marker = `hello from ${pod.pod.name}`;
  const container = await report.claim("the container printed its output", async () => {
    const id = await pod.startContainer({
      image: IMAGE,
      args: ["sh", "-c", `echo ${marker}; while :; do sleep 1; done`],
      mounts: isRoot
        ? [{ destination: "/vm", source: "/run/peerpod", type: "bind", options: ["rbind", "ro"] }]
        : [],
    });
    const output = Buffer.from(await pod.session.read(id, id)).toString();
    must(output === `${marker}\n`, `it printed ${JSON.stringify(output)}`);
    return { seen: JSON.stringify(output.trim()), value: id };
  });
  if (provider === "kvm") await realMachine(report, pod, container, node);
  await report.claim("initdata arrived in the VM unchanged", async () => {
    const digests = JSON.parse(
      readFileSync(new URL("../fixtures/user-data/digests.json", import.meta.url), "utf8"),
    );
    const expected: string = digests["initdata-sha384.toml"].digest;
    const file = isRoot ? "/vm/initdata.digest" : "$PEERPOD_GUEST_ROOT/run/peerpod/initdata.digest";
    const { stdout } = await pod.session.exec(container, "digest", ["sh", "-c", `cat ${file}`]);
    must(
      stdout === expected,
      `its sha384 in the VM is ${stdout}, the stock encoder's fixture says ${expected}`,
    );
    return { seen: `sha384 ${stdout.slice(0, 24)}...`, value: undefined };
  });
  await report.claim("exec returned its exit code", async () => {
    const command = `echo to stderr >&2; exit ${broken === "exit-code" ? 0 : 7}`;
    const outcome = await pod.session.exec(container, "code", ["sh", "-c", command]);
    must(outcome.status === 7, `it was ${outcome.status}, not 7`);
    return { seen: `7, and its stderr ${JSON.stringify(outcome.stderr.trim())}`, value: undefined };
  });
  if (isRoot) {
    if (broken === "tunnel")
      execFileSync("nsenter", [`--net=${network.netns}`, "ip", "link", "set", "vxlan1", "down"]);
    await report.claim("traffic flows through the VXLAN tunnel both ways", async () => ({
      seen: await trafficBothWays(pod, container, network),
      value: undefined,
    }));
  } else if (broken === "tunnel") {
    await report.claim("traffic flows through the VXLAN tunnel both ways", () =>
      Promise.reject(new Error("there is no tunnel without root")),
    );
  }

  report.title("The node's limit is 1");
  await report.claim("a pod over the limit is refused", async () => {
    const refused = await node.shim
      .createVm(newId(), podAnnotations({ name: "one-too-many", namespace: "demo" }), network.netns)
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    must(
      refused instanceof Error && "code" in refused && refused.code === 8,
      `the answer was ${String(refused)}`,
    );
    return { seen: refused instanceof Error ? `"${refused.message}"` : "", value: undefined };
  });

  report.title("The adaptor is killed with -9 under the running pod");
  await report.claim("nobody noticed", async () => {
    await adaptor.kill("SIGKILL");
    const during = await pod.session.exec(container, "no-adaptor", ["echo", "still here"]);
    must(
      during.stdout === "still here\n",
      `exec without an adaptor printed ${JSON.stringify(during.stdout)}`,
    );
    adaptor = node.startControlPlane();
    const vmId = await node.shim.vmId(pod.pod, false, 30_000);
    const after = await pod.session.exec(container, "new-adaptor", ["echo", "and here"]);
    must(after.stdout === "and here\n", `exec with the new adaptor printed ${JSON.stringify(after.stdout)}`);
    return {
      seen: `exec worked without an adaptor and with the next, which knows the pod's VM (${vmId})`,
      value: undefined,
    };
  });

  report.title("The shim stops the pod");
  await report.claim("container and pod end as in the recording", async () => {
    await pod.removeContainer(container);
    await pod.stop();
    return { seen: "RemoveContainer, DestroySandbox, StopVM", value: undefined };
  });
  node.removePodNetwork("demo-pod");
  if (broken === "leak") leak(node);
  await report.claim("nothing is left of it", async () => {
    const left = added(clean.files, filesBelow(node.podsDir));
    must(left.length === 0, `left behind: ${left.join(", ")}`);
    await adaptor.kill("SIGTERM");
    await node.children.find((child) => child.name === "shim-proxy")?.kill("SIGTERM");
    await node.endFakeCloud();
    await room?.kill("SIGTERM");
    const sockets = filesBelow(node.runDir).filter((item) => item.startsWith("socket"));
    must(sockets.length === 0, `left behind: ${sockets.join(", ")}`);
    if (isRoot) dropBridges();
    const now = isRoot
      ? [...added(before.network, networkState()), ...added(before.processes, processes())]
      : [];
    must(now.length === 0, `left behind: ${now.join(", ")}`);
    return {
      seen: isRoot
        ? "processes, namespaces, devices, rules, sockets and files are as before"
        : "sockets and files are as before",
      value: undefined,
    };
  });
}

/** Resolves when the cloud has been asked for the VM, which then boots for a while. */
async function vmIsBooting(pod: PlayedPod, node: TestNode): Promise<void> {
  await node.shim.vmId(pod.pod, true, 30_000);
}

/** The CNI plugin's bridge and the node's network outlive pods; here they are ours. */
function dropBridges(): void {
  for (const bridge of provider === "kvm" ? ["cni0", "uplink0"] : ["cni0"])
    execFileSync("ip", ["link", "del", bridge]);
}

function leak(node: TestNode): void {
  mkdirSync(join(node.podsDir, newId()), { recursive: true });
  writeFileSync(join(node.podsDir, "leaked-on-purpose"), "");
}
