import { spawnSync } from "node:child_process";
import type { PodNetwork } from "../../test/node/test-node.ts";

const BRIDGE = "manypods0";
const GATEWAY = "10.90.0.1";
const PREFIX_LENGTH = 16;

/** Runs iproute2 once for all lines, in the namespace that `enter` leads into. */
function batch(lines: readonly string[], enter: readonly string[] = []): void {
  const [file, ...args] = [...enter, "ip", "-batch", "-"];
  const { status, stderr, error } = spawnSync(file, args, {
    input: `${lines.join("\n")}\n`,
    encoding: "utf8",
  });
  if (error !== undefined || status !== 0) throw new Error(`ip -batch failed: ${error?.message ?? stderr}`);
}

const inside = (name: string): readonly string[] => ["nsenter", `--net=/run/netns/${name}`];

/**
 * Network namespaces for hundreds of pods, as the bridge CNI plugin makes them, in a few processes instead of ten for each. Adaptors take
 * turns with them. Without root they have names only.
 */
export class ManyNetworks {
  readonly #root: boolean;
  readonly #made: PodNetwork[] = [];

  constructor(root: boolean) {
    this.#root = root;
  }

  /** Makes as many as there are to be. */
  make(count: number): void {
    const first = this.#made.length;
    const fresh = Array.from({ length: Math.max(0, count - first) }, (_, n) => network(first + n));
    if (this.#root && fresh.length > 0) {
      if (first === 0)
        batch([
          `link add ${BRIDGE} type bridge`,
          `addr add ${GATEWAY}/${PREFIX_LENGTH} dev ${BRIDGE}`,
          `link set ${BRIDGE} up`,
        ]);
      batch(fresh.map(({ name }) => `netns add ${name}`));
      batch(
        fresh.flatMap(({ name }, n) => [
          `link add many${first + n} type veth peer name eth0 netns ${name}`,
          `link set many${first + n} master ${BRIDGE} up`,
        ]),
      );
      for (const { name, ip } of fresh)
        batch(
          [
            "link set lo up",
            `addr add ${ip}/${PREFIX_LENGTH} dev eth0`,
            "link set eth0 up",
            `route add default via ${GATEWAY}`,
          ],
          inside(name),
        );
    }
    this.#made.push(...fresh);
  }

  get(n: number): PodNetwork {
    const one = this.#made[n];
    if (one === undefined) throw new Error(`there are ${this.#made.length} pod networks, not ${n + 1}`);
    return one;
  }

  /** Takes all of them away, and whatever is in them. */
  remove(): void {
    const names = this.#made.splice(0).map(({ netns }) => netns.replace(/^.*\//, ""));
    if (!this.#root || names.length === 0) return;
    // A namespace's devices go some time after it; the next ones have the same names.
    batch([
      ...names.map((_, n) => `link del many${n}`),
      ...names.map((name) => `netns del ${name}`),
      `link del ${BRIDGE}`,
    ]);
  }
}

function network(n: number): PodNetwork & { readonly name: string } {
  const name = `many-${n}`;
  const host = n + 10;
  return { name, netns: `/run/netns/${name}`, ip: `10.90.${host >> 8}.${host & 255}`, mac: "" };
}
