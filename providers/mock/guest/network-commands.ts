import { isIPv4 } from "node:net";
import * as v from "valibot";
import { describeError, networkFailed } from "../../../src/errors/index.ts";
import type { Exec } from "../../../src/platform/index.ts";

/** Name of the network namespace that the pod's containers join. */
export const PODNS = "podns";
/** Its file. */
export const POD_NETNS: string = `/run/netns/${PODNS}`;

/** A command and its arguments. */
export type Argv = readonly [string, ...string[]];

/** Commands in the VM's own namespaces and in the pod's. All throw `network` with the command's own words. */
export class NetworkCommands {
  readonly #exec: Exec;
  readonly #signal: AbortSignal | undefined;

  constructor(exec: Exec, signal?: AbortSignal) {
    this.#exec = exec;
    this.#signal = signal;
  }

  /** Resolves to what it printed. */
  async run(argv: Argv, input = ""): Promise<string> {
    const done = await this.#exec.run(argv, { input, ...(this.#signal ? { signal: this.#signal } : {}) });
    if (done.code !== 0)
      throw networkFailed(`${argv.join(" ")}: ${done.stderr.trim()} ${input.trim()}`.trim());
    return done.stdout;
  }

  /** One command in the pod's network namespace. */
  inPod(...args: string[]): Promise<string> {
    return this.run(["nsenter", `--net=${POD_NETNS}`, "--", ...args]);
  }

  /** Lines of `ip` that run as one process in the pod's namespace, and stop at the first that fails. */
  async batchInPod(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    await this.run(["nsenter", `--net=${POD_NETNS}`, "--", "ip", "-batch", "-"], `${lines.join("\n")}\n`);
  }

  /** For questions whose answer is the exit status. */
  async succeeds(argv: Argv): Promise<boolean> {
    return (await this.#exec.run(argv)).code === 0;
  }
}

/** An IPv4 default route as `ip -json route` shows it. */
export interface DefaultRoute {
  readonly gateway: string;
  readonly device: string;
}

const ROUTES = v.array(
  v.object({
    dev: v.optional(v.string(), ""),
    gateway: v.optional(v.string(), ""),
    metric: v.optional(v.number(), 0),
  }),
);

const LINKS = v.array(
  v.object({
    ifname: v.optional(v.string(), ""),
    addr_info: v.optional(
      v.array(v.object({ local: v.optional(v.string(), ""), prefixlen: v.number() })),
      [],
    ),
  }),
);

function readJson<T>(schema: v.GenericSchema<unknown, T>, text: string): T {
  try {
    return v.parse(schema, text.trim() === "" ? [] : JSON.parse(text));
  } catch (cause) {
    throw networkFailed(`ip printed what cannot be read: ${describeError(cause)}`, { cause });
  }
}

/** The VM's default routes, lowest metric first. */
export async function defaultRoutes(commands: NetworkCommands): Promise<readonly DefaultRoute[]> {
  const routes = readJson(ROUTES, await commands.run(["ip", "-json", "-4", "route", "show", "default"]));
  return routes
    .toSorted((a, b) => a.metric - b.metric)
    .map(({ gateway, dev }) => ({ gateway, device: dev }))
    .filter(({ device }) => device !== "");
}

/** `eth10` is `eth` and 10; a name without a number comes after all with one. */
function nameParts(device: string): { readonly prefix: string; readonly number: number } {
  const found = /^(\D*)(\d+)$/.exec(device);
  return found ? { prefix: found[1] ?? "", number: Number(found[2]) } : { prefix: device, number: Infinity };
}

/** The first default route's interface, or one of the same kind with a lower number (pkg/podnetwork/common.go). Undefined without a default route. */
export async function primaryInterface(commands: NetworkCommands): Promise<string | undefined> {
  let primary: string | undefined;
  for (const { device } of await defaultRoutes(commands)) {
    if (primary === undefined) primary = device;
    const [chosen, candidate] = [nameParts(primary), nameParts(device)];
    if (candidate.prefix === chosen.prefix && candidate.number < chosen.number) primary = device;
  }
  return primary;
}

/** The IPv4 addresses of each interface with its prefix length, in the order of the kernel. */
export async function addressesByInterface(
  commands: NetworkCommands,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const links = readJson(LINKS, await commands.run(["ip", "-json", "-4", "address", "show"]));
  return new Map(
    links.map((link) => [link.ifname, link.addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`)]),
  );
}

/** The one IPv4 address of an interface; undefined while it has none. Throws `network` when there are several. */
export async function onlyAddress(commands: NetworkCommands, device: string): Promise<string | undefined> {
  const addresses = (await addressesByInterface(commands)).get(device) ?? [];
  if (addresses.length > 1)
    throw networkFailed(`${device} has more than one address: ${addresses.join(", ")}`);
  return addresses[0];
}

/** The network of an address: `10.88.0.14/16` is in `10.88.0.0/16`. */
export function maskedPrefix(prefix: string): string {
  const [address = "", bits = "32"] = prefix.split("/");
  if (!isIPv4(address)) throw networkFailed(`${prefix} is not an IPv4 prefix`);
  const value = address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - Number(bits));
  const network = Math.floor(value / size) * size;
  return `${[24, 16, 8, 0].map((shift) => Math.floor(network / 2 ** shift) % 256).join(".")}/${bits}`;
}
