import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { ROOT } from "../../test/node/child.ts";
import { Process } from "../processes.ts";

const NAMESPACE = "stubroom";
const DEVICE = "stubroom0";
const SUBNET = "10.78.0.0/16";
const LOOPBACK_SUBNET = "127.78.0.0/16";

/** The machine room of stub VMs, with a network of its own beside the node's: packets to a VM leave the node. */
export interface StubRoom {
  readonly socket: string;
  kill(): Promise<void>;
}

export async function startStubRoom(dir: string, root: boolean): Promise<StubRoom> {
  const socket = join(dir, "stub-room.sock");
  if (root) makeNetwork();
  const process_ = new Process("stub machine room", {
    argv: [
      ...(root ? ["nsenter", `--net=/run/netns/${NAMESPACE}`] : []),
      process.execPath,
      "--disable-warning=ExperimentalWarning",
      join(ROOT, "bench/many-pods/stub-room.ts"),
      socket,
      root ? SUBNET : LOOPBACK_SUBNET,
      ...(root ? [] : ["rootless"]),
    ],
    logPath: join(dir, "log/stub-room.log"),
  });
  await process_.listensOn(socket);
  return {
    socket,
    async kill() {
      await process_.kill();
      if (!root) return;
      // A namespace's devices go some time after it; the next room's has the same name.
      execFileSync("ip", ["link", "del", DEVICE]);
      execFileSync("ip", ["netns", "del", NAMESPACE]);
    },
  };
}

/** The whole prefix belongs to the room: no VM needs a change of the kernel's tables. */
function makeNetwork(): void {
  const ip = (...args: string[]): void => {
    execFileSync("ip", args);
  };
  const inside = (...args: string[]): void => {
    execFileSync("nsenter", [`--net=/run/netns/${NAMESPACE}`, "ip", ...args]);
  };
  ip("netns", "add", NAMESPACE);
  ip("link", "add", DEVICE, "type", "veth", "peer", "name", "eth0", "netns", NAMESPACE);
  ip("addr", "add", "10.79.0.1/24", "dev", DEVICE);
  ip("link", "set", DEVICE, "up");
  inside("link", "set", "lo", "up");
  inside("addr", "add", "10.79.0.2/24", "dev", "eth0");
  inside("link", "set", "eth0", "up");
  inside("route", "add", "default", "via", "10.79.0.1");
  inside("route", "add", "local", SUBNET, "dev", "lo");
  ip("route", "add", SUBNET, "via", "10.79.0.2");
}
