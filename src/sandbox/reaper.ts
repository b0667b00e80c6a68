import { OwnerTag, type Vm } from "../../providers/contract.ts";
import { describeError } from "../errors/index.ts";
import type { SandboxDeps } from "./ports.ts";
import { notify } from "./steps.ts";

export interface ReaperOptions {
  /** Between rounds, and so between the two lists that must agree. */
  readonly intervalMs: number;
  /** A sandbox that the runtime has never listed may still be starting for so long. */
  readonly startDeadlineMs: number;
  /** Most VMs that one round deletes. */
  readonly budget: number;
  /** Say what would be deleted, and delete nothing. */
  readonly dryRun: boolean;
}

export const DEFAULT_REAPER: ReaperOptions = {
  intervalMs: 5 * 60_000,
  startDeadlineMs: 20 * 60_000,
  budget: 5,
  dryRun: false,
};

/** After rounds that found nothing the pause doubles, up to so many intervals: a list of a whole fleet is dear. */
const MOST_INTERVALS = 12;
/** Nodes that were started together must not ask together for ever. */
const JITTER = 0.1;

/** Two complete lists at least so far apart must both show a VM without an owner. */
const MIN_BETWEEN_LISTS_MS = 60_000;

type Deps = Pick<SandboxDeps, "clock" | "log" | "journal" | "provider" | "config" | "onNotice"> &
  Required<Pick<SandboxDeps, "runtime">>;

/**
 * Deletes VMs that are provably nobody's: tagged with our cluster and our node, unknown to the journal, and their sandbox
 * absent from the container runtime in two complete lists. When cloud or runtime cannot be asked, nothing is deleted.
 */
export class Reaper {
  readonly #deps: Deps;
  readonly #options: ReaperOptions;
  /** VM name to when it was first seen ownerless, monotonic. */
  readonly #suspects = new Map<string, number>();
  /** VM name to when it was first seen at all, monotonic. */
  readonly #firstSeen = new Map<string, number>();
  /** Sandboxes that the runtime has listed since we began. */
  readonly #everListed = new Set<string>();
  readonly #onOrphan: (vm: Vm) => void;

  /** `onOrphan` journals the VM as deleting and sees to its delete. */
  constructor(deps: Deps, options: ReaperOptions, onOrphan: (vm: Vm) => void) {
    this.#deps = deps;
    this.#options = options;
    this.#onOrphan = onOrphan;
  }

  /** Rounds until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    for (let intervals = 1; ; ) {
      const pauseMs = Math.round(
        this.#options.intervalMs * intervals * (1 + (Math.random() * 2 - 1) * JITTER),
      );
      await this.#deps.clock.sleep(pauseMs, signal);
      try {
        await this.round(signal);
        intervals =
          this.#suspects.size + this.#firstSeen.size > 0 ? 1 : Math.min(intervals * 2, MOST_INTERVALS);
      } catch (error) {
        signal.throwIfAborted();
        notify(this.#deps, { kind: "reaper-round", ownerless: undefined });
        this.#deps.log.warn("the reaper could not look and deletes nothing", {
          step: "reaper",
          error: describeError(error),
        });
      }
    }
  }

  /** One look. Returns the names of the VMs that it gave to be deleted (or would have, in a dry run). */
  async round(signal: AbortSignal): Promise<readonly string[]> {
    const { provider, runtime, config } = this.#deps;
    const { clusterId, nodeName } = config.current().owner;
    if (clusterId === "" || nodeName === "") return [];
    const listed = await runtime.list(signal);
    for (const id of listed.keys()) this.#everListed.add(id);
    const vms = await provider.list({ clusterId, nodeName }, signal);
    const known = this.#deps.journal.setAside.vmNames();
    const ownerless = vms.filter((vm) => !known.has(vm.name) && this.#isOwnerless(vm, listed));
    notify(this.#deps, { kind: "reaper-round", ownerless: ownerless.length });
    this.#forgetAllBut(vms, ownerless);
    const due = ownerless.filter((vm) => this.#isProven(vm)).slice(0, this.#options.budget);
    for (const vm of due) this.#reap(vm);
    return due.map((vm) => vm.name);
  }

  #isOwnerless(vm: Vm, listed: ReadonlyMap<string, unknown>): boolean {
    const { config, journal } = this.#deps;
    const { clusterId, nodeName } = config.current().owner;
    const sandboxId = vm.tags[OwnerTag.Sandbox];
    // The provider was asked for these tags; a provider that answers more must not cost somebody else's VM.
    if (vm.tags[OwnerTag.Cluster] !== clusterId || vm.tags[OwnerTag.Node] !== nodeName) return false;
    if (vm.lifecycle === "deleting" || sandboxId === undefined || sandboxId === "") return false;
    if (journal.setAside.hasSandbox(sandboxId)) return false;
    if (listed.has(sandboxId)) return false;
    return this.#everListed.has(sandboxId) || this.#ageMs(vm) >= this.#options.startDeadlineMs;
  }

  /** How long we have seen the VM; what the cloud says of its age is by another clock. */
  #ageMs(vm: Vm): number {
    const nowMs = this.#deps.clock.monotonicMs();
    const firstMs = this.#firstSeen.get(vm.name) ?? nowMs;
    this.#firstSeen.set(vm.name, firstMs);
    return nowMs - firstMs;
  }

  #isProven(vm: Vm): boolean {
    const nowMs = this.#deps.clock.monotonicMs();
    const sinceMs = this.#suspects.get(vm.name);
    if (sinceMs === undefined) this.#suspects.set(vm.name, nowMs);
    return sinceMs !== undefined && nowMs - sinceMs >= MIN_BETWEEN_LISTS_MS;
  }

  /** A VM that has an owner again, or is gone, starts anew. */
  #forgetAllBut(vms: readonly Vm[], ownerless: readonly Vm[]): void {
    const there = new Set(vms.map((vm) => vm.name));
    const without = new Set(ownerless.map((vm) => vm.name));
    for (const name of this.#firstSeen.keys()) if (!there.has(name)) this.#firstSeen.delete(name);
    for (const name of this.#suspects.keys()) if (!without.has(name)) this.#suspects.delete(name);
  }

  #reap(vm: Vm): void {
    const fields = { step: "reaper", vmName: vm.name, sandboxId: vm.tags[OwnerTag.Sandbox] ?? "" };
    const { dryRun } = this.#options;
    notify(this.#deps, {
      kind: "orphan",
      vmName: vm.name,
      sandboxId: fields.sandboxId,
      action: dryRun ? "dry-run" : "deleted",
    });
    if (dryRun) {
      this.#deps.log.warn("a VM without an owner would be deleted (dry run)", fields);
      return;
    }
    this.#deps.log.warn("a VM without an owner is deleted", fields);
    this.#suspects.delete(vm.name);
    this.#onOrphan(vm);
  }
}
