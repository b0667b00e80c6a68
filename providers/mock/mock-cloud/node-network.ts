import * as v from "valibot";
import { invalidConfig, networkFailed } from "../../../src/errors/index.ts";
import type { Exec } from "../../../src/platform/index.ts";
import { AddressPool, type Subnet } from "./addresses.ts";
import type { LinkFault } from "./machines.ts";

const Links = v.array(v.object({ ifname: v.optional(v.string()), ifalias: v.optional(v.string()) }));

export interface NodeNetworkOptions {
  readonly bridge: string;
  readonly subnet: Subnet;
  readonly instance: string;
}

/** One network interface of a VM. */
export interface VmInterface {
  /** Its end on the bridge. */
  readonly hostDevice: string;
  /** Its name in the VM. */
  readonly vmDevice: string;
  readonly address: string;
}

/** The network that worker and VMs share: a bridge in the network namespace of this process, and a veth pair for each interface of a VM. */
export class NodeNetwork {
  readonly #exec: Exec;
  readonly #options: NodeNetworkOptions;
  readonly #pool: AddressPool;
  readonly #alias: string;
  readonly #lossy = new Set<string>();

  constructor(exec: Exec, options: NodeNetworkOptions) {
    this.#exec = exec;
    this.#options = options;
    this.#pool = new AddressPool(options.subnet);
    this.#alias = `peerpod-mock:${options.instance}`;
  }

  /** Removes the bridge and devices of an earlier life, then makes the bridge. Throws `invalid-config` when the bridge is somebody else's. */
  async open(): Promise<void> {
    const { bridge } = this.#options;
    const links = await this.#links();
    const taken = links.find(({ ifname }) => ifname === bridge);
    if (taken && taken.ifalias !== this.#alias)
      throw invalidConfig(
        `the network device ${bridge} exists already and is not ours; choose another -bridge`,
      );
    await this.#removeOurs(links);
    await this.#batch([
      `link add ${bridge} type bridge`,
      `link set ${bridge} alias ${this.#alias}`,
      `addr add ${this.#pool.gateway}/${this.#pool.prefixLength} dev ${bridge}`,
      `link set ${bridge} up`,
    ]);
  }

  async close(): Promise<void> {
    await this.#removeOurs(await this.#links());
  }

  /** Devices of VMs that exist. */
  async devices(): Promise<readonly string[]> {
    return this.#ours(await this.#links()).filter((device) => device !== this.#options.bridge);
  }

  /** Chooses names and addresses; nothing is made yet. `key` is at most 8 characters, unique to the VM. */
  plan(key: string, count: number): readonly VmInterface[] {
    return Array.from({ length: count }, (_, index) => ({
      hostDevice: `ppm${key}-${index}`,
      vmDevice: `eth${index}`,
      address: this.#pool.take(),
    }));
  }

  /** Makes the veth pairs, one end on the bridge, the other in the namespace of process `pid`. */
  async attach(interfaces: readonly VmInterface[], pid: number): Promise<void> {
    const { bridge } = this.#options;
    await this.#batch(
      interfaces.flatMap(({ hostDevice, vmDevice }) => [
        `link add ${hostDevice} type veth peer name ${vmDevice} netns ${pid}`,
        `link set ${hostDevice} alias ${this.#alias} master ${bridge} up`,
      ]),
    );
  }

  /** What the VM's init gives to `ip -batch` inside. */
  insideBatch(interfaces: readonly VmInterface[]): string {
    const lines = interfaces.flatMap(({ vmDevice, address }) => [
      `addr add ${address}/${this.#pool.prefixLength} dev ${vmDevice}`,
      `link set ${vmDevice} up`,
    ]);
    return `${["link set lo up", ...lines, `route add default via ${this.#pool.gateway}`].join("\n")}\n`;
  }

  /** Removes the pairs (gone ones are fine) and gives the addresses back. */
  async detach(interfaces: readonly VmInterface[]): Promise<void> {
    for (const { hostDevice } of interfaces) await this.#endLoss(hostDevice);
    await this.#delete(interfaces.map(({ hostDevice }) => hostDevice));
    for (const { address } of interfaces) this.#pool.release(address);
  }

  /** Gives addresses back that were planned and not attached. */
  release(interfaces: readonly VmInterface[]): void {
    for (const { address } of interfaces) this.#pool.release(address);
  }

  /** Breaks or mends a VM's link; `pid` is a process in the VM's network namespace. */
  async breakLink(interfaces: readonly VmInterface[], pid: number, fault: LinkFault): Promise<void> {
    switch (fault.kind) {
      case "reset":
        for (const { address } of interfaces)
          await this.#run(["nsenter", `--net=/proc/${pid}/ns/net`, "ss", "-tK", "src", address]);
        return;
      case "down":
      case "up":
        return this.#batch(interfaces.map(({ hostDevice }) => `link set ${hostDevice} ${fault.kind}`));
      case "loss":
        for (const { hostDevice } of interfaces) await this.#setLoss(hostDevice, fault.percent);
    }
  }

  // nftables' netdev hooks rather than tc netem: many kernels come without netem.
  async #setLoss(device: string, percent: number): Promise<void> {
    await this.#endLoss(device);
    if (percent <= 0) return;
    const share = percent >= 100 ? "" : `numgen random mod 10000 < ${Math.round(percent * 100)} `;
    const chain = (name: string, hook: string): string =>
      `chain ${name} {\n type filter hook ${hook} device "${device}" priority 0; policy accept;\n` +
      ` ${share}drop\n}\n`;
    await this.#run(
      ["nft", "-f", "-"],
      `table netdev ${device} {\n${chain("from_vm", "ingress")}${chain("to_vm", "egress")}}\n`,
    );
    this.#lossy.add(device);
  }

  async #endLoss(device: string): Promise<void> {
    if (!this.#lossy.has(device)) return;
    await this.#run(["nft", "delete", "table", "netdev", device]);
    this.#lossy.delete(device);
  }

  async #links(): Promise<v.InferOutput<typeof Links>> {
    const text = await this.#run(["ip", "-json", "link", "show"]);
    const links = v.safeParse(Links, JSON.parse(text === "" ? "[]" : text));
    if (!links.success) throw networkFailed("ip -json link show printed something unexpected");
    return links.output;
  }

  #ours(links: v.InferOutput<typeof Links>): readonly string[] {
    return links.flatMap(({ ifname, ifalias }) =>
      ifname !== undefined && ifalias === this.#alias ? [ifname] : [],
    );
  }

  async #removeOurs(links: v.InferOutput<typeof Links>): Promise<void> {
    await this.#delete(this.#ours(links));
  }

  async #delete(devices: readonly string[]): Promise<void> {
    if (devices.length === 0) return;
    const result = await this.#exec.run(["ip", "-force", "-batch", "-"], {
      input: `${devices.map((device) => `link del ${device}`).join("\n")}\n`,
    });
    const problems = result.stderr
      .split("\n")
      .filter(
        (line) => line !== "" && !line.startsWith("Command failed") && !line.includes("Cannot find device"),
      );
    if (problems.length > 0)
      throw networkFailed(`cannot delete ${devices.join(", ")}: ${problems.join("; ")}`);
  }

  async #batch(lines: readonly string[]): Promise<void> {
    await this.#run(["ip", "-batch", "-"], `${lines.join("\n")}\n`);
  }

  async #run(argv: readonly [string, ...string[]], input?: string): Promise<string> {
    const result = await this.#exec.run(argv, input === undefined ? {} : { input });
    if (result.code !== 0)
      throw networkFailed(
        `${argv.join(" ")} failed: ${result.stderr.trim()}${input ? ` (input: ${input})` : ""}`,
      );
    return result.stdout;
  }
}
