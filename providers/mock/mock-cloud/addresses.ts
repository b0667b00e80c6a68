import { capacityExhausted } from "../../../src/errors/index.ts";

/** An IPv4 prefix. */
export interface Subnet {
  /** The network address as a number. */
  readonly base: number;
  readonly prefixLength: number;
}

const toNumber = (text: string): number | undefined => {
  const parts = text.split(".");
  if (parts.length !== 4 || parts.some((part) => !/^\d{1,3}$/.test(part) || Number(part) > 255))
    return undefined;
  return parts.reduce((value, part) => value * 256 + Number(part), 0);
};

const toText = (value: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");

/** A prefix written as `10.77.0.0/24`, between /8 and /29; undefined for anything else. Host bits are cleared. */
export function parseSubnet(text: string): Subnet | undefined {
  const [address = "", length = "", rest] = text.split("/");
  const value = toNumber(address);
  const prefixLength = /^\d{1,2}$/.test(length) ? Number(length) : Number.NaN;
  if (value === undefined || rest !== undefined || !(prefixLength >= 8 && prefixLength <= 29))
    return undefined;
  const size = 2 ** (32 - prefixLength);
  return { base: value - (value % size), prefixLength };
}

/** Gives out the addresses of a subnet; a freed one is used again only after all others, so that a late packet finds nobody. */
export class AddressPool {
  readonly #subnet: Subnet;
  readonly #taken = new Set<number>();
  #next = 0;

  /** `start` says which address is given out first; any number. */
  constructor(subnet: Subnet, start = 0) {
    this.#subnet = subnet;
    this.#next = start % this.#usable;
  }

  // Network, gateway and broadcast are never given out.
  get #usable(): number {
    return 2 ** (32 - this.#subnet.prefixLength) - 3;
  }

  /** The first usable address: the bridge's. */
  get gateway(): string {
    return toText(this.#subnet.base + 1);
  }

  get prefixLength(): number {
    return this.#subnet.prefixLength;
  }

  /** An address nobody has. Throws `capacity` when all are taken. */
  take(): string {
    const usable = this.#usable;
    for (let tried = 0; tried < usable; tried += 1) {
      const offset = this.#next;
      this.#next = (this.#next + 1) % usable;
      if (this.#taken.has(offset)) continue;
      this.#taken.add(offset);
      return toText(this.#subnet.base + 2 + offset);
    }
    throw capacityExhausted(
      `all ${usable} addresses of the machine room's subnet are in use; delete VMs or give a larger -subnet`,
    );
  }

  /** Gives an address back; one that was not taken is ignored. */
  release(address: string): void {
    const value = toNumber(address);
    if (value !== undefined) this.#taken.delete(value - this.#subnet.base - 2);
  }
}
