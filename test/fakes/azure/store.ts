import type { Clock } from "../../../src/platform/index.ts";
import type { VirtualMachineBody } from "./schemas.ts";

export interface FakeVm {
  readonly name: string;
  readonly body: VirtualMachineBody;
  tags: Readonly<Record<string, string>>;
  readonly size: string;
  readonly createdAtMs: number;
  state: "Creating" | "Succeeded" | "Failed" | "Deleting";
  failure?: { readonly code: string; readonly message: string };
  readonly nics: readonly string[];
  readonly disk: string;
  readonly dataDisks: readonly string[];
  userData: string;
  /** The operation that makes it; a delete cancels it. */
  readonly create: Operation;
  readonly stop: AbortController;
}

export interface FakeNic {
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly subnetId: string;
  readonly primary: boolean;
  address: string;
  /** When the address is first told. */
  addressFromMs: number;
  readonly publicIp: string | undefined;
  /** Name of its VM; "" for none. */
  vm: string;
  reservedUntilMs: number;
  readonly deleteWithVm: boolean;
}

export interface FakePublicIp {
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly address: string;
  readonly fromMs: number;
  readonly deleteWithVm: boolean;
}

export interface FakeDisk {
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly location: string;
  readonly zones: readonly string[];
  readonly createdAtMs: number;
  vm: string;
  readonly deleteWithVm: boolean;
}

/** A long-running operation (Azure-AsyncOperation). */
export interface Operation {
  readonly id: string;
  readonly provider: "Microsoft.Compute" | "Microsoft.Network";
  readonly startMs: number;
  status: "InProgress" | "Succeeded" | "Failed" | "Canceled";
  error?: { readonly code: string; readonly message: string };
}

interface Entry<T> {
  readonly value: T;
  readonly listedFromMs: number;
}

/** Resources of one type by lower-cased name. Single reads are exact; lists lag behind when `lagMs` says so. */
export class Shelf<T extends { readonly name: string }> {
  readonly #clock: Clock;
  readonly #lagMs: () => number;
  readonly #entries = new Map<string, Entry<T>>();
  #gone: { readonly value: T; readonly untilMs: number }[] = [];

  constructor(clock: Clock, lagMs: () => number) {
    this.#clock = clock;
    this.#lagMs = lagMs;
  }

  get(name: string): T | undefined {
    return this.#entries.get(name.toLowerCase())?.value;
  }

  put(value: T): void {
    this.#entries.set(value.name.toLowerCase(), {
      value,
      listedFromMs: this.#clock.monotonicMs() + this.#lagMs(),
    });
  }

  remove(name: string): void {
    const entry = this.#entries.get(name.toLowerCase());
    if (!entry) return;
    this.#entries.delete(name.toLowerCase());
    this.#gone.push({ value: entry.value, untilMs: this.#clock.monotonicMs() + this.#lagMs() });
  }

  /** What exists, in truth. */
  all(): readonly T[] {
    return [...this.#entries.values()].map((entry) => entry.value);
  }

  /** What a list shows now. */
  listed(): readonly T[] {
    const nowMs = this.#clock.monotonicMs();
    this.#gone = this.#gone.filter((one) => one.untilMs > nowMs);
    return [
      ...[...this.#entries.values()].filter((one) => one.listedFromMs <= nowMs).map((one) => one.value),
      ...this.#gone.filter((one) => !this.get(one.value.name)).map((one) => one.value),
    ];
  }
}
