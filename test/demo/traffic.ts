import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { PodNetwork } from "../node/test-node.ts";
import type { PlayedPod } from "../shim/played-pod.ts";
import { must } from "./report.ts";

const HOST_ADDRESS = "10.88.0.1";
const POD_PORT = 8080;

/** What the pod's VXLAN device has carried: frames to and from the VM. */
function vxlanFrames(pod: PodNetwork): { readonly out: number; readonly in: number } {
  const text = execFileSync(
    "nsenter",
    [`--net=${pod.netns}`, "ip", "-json", "-s", "link", "show", "vxlan1"],
    { encoding: "utf8" },
  );
  const [link] = JSON.parse(text);
  return { out: Number(link.stats64.tx.packets), in: Number(link.stats64.rx.packets) };
}

/** The hardware address that the node's bridge has learnt for the pod's address. */
function neighbourOf(address: string): string {
  const text = execFileSync("ip", ["neigh", "show", address], { encoding: "utf8" });
  return /lladdr (\S+)/.exec(text)?.[1] ?? "";
}

/**
 * TCP from the node to the pod and from the pod to the node. Both must pass the tunnel, and carry the pod's own address and
 * MAC, though the process is in the VM.
 */
export async function trafficBothWays(
  pod: PlayedPod,
  containerId: string,
  network: PodNetwork,
): Promise<string> {
  const before = vxlanFrames(network);
  const inward = await nodeToPod(pod, containerId, network);
  must(
    inward === "hello from inside\n",
    `the pod answered ${JSON.stringify(inward)} on ${network.ip}:${POD_PORT}`,
  );
  const from = await podToNode(pod, containerId);
  must(from === network.ip, `the node saw the pod's connection come from ${from}, not from ${network.ip}`);
  const mac = neighbourOf(network.ip);
  must(mac === network.mac, `the node sees ${network.ip} at ${mac}, the pod's MAC is ${network.mac}`);
  const after = vxlanFrames(network);
  must(after.out > before.out && after.in > before.in, "nothing passed the VXLAN device");
  return `TCP both ways as ${network.ip} (${mac}), ${after.out - before.out} frames to the VM, ${after.in - before.in} back`;
}

async function nodeToPod(pod: PlayedPod, containerId: string, network: PodNetwork): Promise<string> {
  const serve = pod.session.exec(containerId, "serve", [
    "sh",
    "-c",
    `echo hello from inside | nc -l -p ${POD_PORT}`,
  ]);
  serve.catch(() => undefined);
  const text = await retry(() => readFrom(network.ip, POD_PORT));
  await serve;
  return text;
}

async function podToNode(pod: PlayedPod, containerId: string): Promise<string> {
  const server = createServer((socket) => socket.end("bye\n"));
  server.listen(0, HOST_ADDRESS);
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  try {
    const accepted = once(server, "connection");
    const dialled = pod.session.exec(containerId, "dial", ["nc", "-w", "5", HOST_ADDRESS, String(port)]);
    dialled.catch(() => undefined);
    const outcome = await Promise.race([
      accepted,
      dialled.then((d) => Promise.reject(new Error(`nc in the pod: ${d.stderr} (exit ${d.status})`))),
    ]);
    const [socket] = outcome;
    const remote = String(socket.remoteAddress);
    await dialled;
    return remote;
  } finally {
    server.close();
  }
}

function readFrom(address: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect({ host: address, port, timeout: 2000 });
    socket.setEncoding("utf8");
    socket.on("data", (chunk) => {
      text += String(chunk);
    });
    socket.on("end", () => {
      socket.destroy();
      resolve(text);
    });
    socket.on("timeout", () =>
      socket.destroy(new Error(`no answer from ${address}:${port} through the tunnel`)),
    );
    socket.on("error", reject);
  });
}

/** Until nc in the pod listens, the connection is refused; anything else is an outcome. */
async function retry<T>(attempt: () => Promise<T>): Promise<T> {
  for (let n = 1; ; n++) {
    try {
      return await attempt();
    } catch (error) {
      const refused = error instanceof Error && "code" in error && error.code === "ECONNREFUSED";
      if (!refused || n >= 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
