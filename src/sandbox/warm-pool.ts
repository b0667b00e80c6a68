import { randomBytes } from "node:crypto";
import { OwnerTag, POOL_SANDBOX, type Vm } from "../../providers/contract.ts";
import { describeError, unavailable } from "../errors/index.ts";
import { Secret } from "../platform/index.ts";
import { POOL_USER_DATA } from "../user-data/index.ts";
import { type PoolEntry, poolKind, sizeOfKind } from "./pool-kinds.ts";
import type { SandboxDeps } from "./ports.ts";
import type { PodRequest } from "./request.ts";
import { type Broadcast, SharedTask } from "./shared-task.ts";
import type { VmDeleter } from "./vm-deleter.ts";

/** How often the cloud is asked whether waiting VMs are still there. */
const CHECK_INTERVAL_MS = 60_000;
/** Pause after a VM of a kind could not be made, doubled with every further one. */
const FIRST_PAUSE_MS = 5000;
const MAX_PAUSE_MS = 10 * 60_000;
/** How long the pool takes no slot after one of its VMs had to make room: the pod may come a second time for it. */
const YIELD_PAUSE_MS = 60_000;

type Deps = Pick<SandboxDeps, "clock" | "log" | "journal" | "provider" | "config" | "identified">;

interface Setback {
  readonly failures: number;
  readonly untilMs: number;
}

/**
 * Keeps VMs started ahead of the pods that will take them. They count against the limit and are the first to yield; one that
 * was given to a pod never comes back. The journal knows each from before it is made, so whatever dies when, the next
 * control plane goes on with it or deletes it.
 */
export class WarmPool {
  readonly #deps: Deps;
  readonly #deleter: VmDeleter;
  readonly #changes: Broadcast;
  readonly #shutdown: AbortSignal;
  readonly #making = new Map<string, SharedTask<void>>();
  readonly #setbacks = new Map<string, Setback>();
  /** What the VMs that wait were made from; undefined: not known. */
  #vmRevision: string | undefined;
  #podsWaiting = 0;
  #restsUntilMs = 0;

  constructor(deps: Deps, deleter: VmDeleter, changes: Broadcast, shutdown: AbortSignal) {
    this.#deps = deps;
    this.#deleter = deleter;
    this.#changes = changes;
    this.#shutdown = shutdown;
    this.#vmRevision = deps.journal.meta("pool_revision");
  }

  /** Fills, checks and trims the pool until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, journal, log } = this.#deps;
    let checkDue = true;
    for (;;) {
      signal.throwIfAborted();
      const wake = clock.schedule(CHECK_INTERVAL_MS, () => {
        checkDue = true;
        this.#changes.notify();
      });
      try {
        journal.pool.dropDeleted();
        this.#trim();
        if (checkDue) await this.#check(signal);
        checkDue = false;
        await this.#deps.identified?.(signal);
        this.#resume();
        await this.#changes.until(
          () => (this.#fill() || checkDue || this.#isOutdated || this.#isOverLimit ? true : undefined),
          signal,
        );
      } catch (error) {
        signal.throwIfAborted();
        log.warn("the warm pool could not be looked after", { step: "pool", error: describeError(error) });
        await clock.sleep(FIRST_PAUSE_MS, signal);
      } finally {
        wake();
      }
    }
  }

  /** The kind of VM that a pod may take; undefined: none, also while those that wait were made from other settings. */
  kindFor(request: Pick<PodRequest, "size" | "image">): string | undefined {
    const { pool } = this.#deps.config.current();
    return pool.length === 0 || this.#isOutdated ? undefined : poolKind(request);
  }

  /** While a CreateVM waits for a slot, the pool takes none. */
  podWaits(): Disposable {
    this.#podsWaiting++;
    return {
      [Symbol.dispose]: () => {
        this.#podsWaiting--;
        this.#changes.notify();
      },
    };
  }

  /** A VM that has left the pool, journaled as deleting: what still makes it ends first, or it might come after its delete. */
  async yielded(name: string, vmId: string | undefined): Promise<void> {
    const { clock } = this.#deps;
    this.#restsUntilMs = clock.monotonicMs() + YIELD_PAUSE_MS;
    clock.schedule(YIELD_PAUSE_MS, () => this.#changes.notify());
    await this.#delete(name, vmId);
  }

  async #delete(name: string, vmId: string | undefined): Promise<void> {
    const making = this.#making.get(name);
    making?.abort(unavailable("the VM makes room for a pod"));
    await making?.settled();
    const known = vmId ?? this.#deps.journal.vm(name)?.vmId;
    await this.#deleter.delete(name, known);
  }

  /** Has one VM of the pool deleted because the cloud has no room for a pod's. Resolves when it is gone; false when there is none. */
  async makeRoom(): Promise<boolean> {
    const { journal, log } = this.#deps;
    const yielding = journal.pool.yieldingWithin();
    if (yielding === undefined || !journal.pool.discard(yielding.name)) return false;
    log.info("a VM of the warm pool makes room for a pod", { vmName: yielding.name, step: "pool" });
    await this.yielded(yielding.name, yielding.vmId);
    return true;
  }

  /** For a pod's VM in place of one of the pool: waits while VMs that are being deleted keep the node over its limit. */
  async room(signal: AbortSignal): Promise<void> {
    const { config, journal } = this.#deps;
    const look = (): true | undefined => {
      const { limit } = config.current();
      const { used, deleting } = journal.usage();
      return limit < 0 || used <= limit || deleting === 0 ? true : undefined;
    };
    await this.#changes.until(look, signal);
  }

  /** Resolves when what is being made has ended; after `shutdown` only. */
  async settled(): Promise<void> {
    await Promise.all([...this.#making.values()].map((task) => task.settled()));
  }

  /** Begins what is missing. Returns whether anything was begun. */
  #fill(): boolean {
    const { clock, config, journal } = this.#deps;
    const { pool } = config.current();
    // Asked at every change of any pod.
    if (pool.length === 0) return false;
    if (this.#podsWaiting > 0 || clock.monotonicMs() < this.#restsUntilMs) return false;
    const there = journal.pool.vms();
    for (const { kind, count } of pool) {
      const setback = this.#setbacks.get(kind);
      if (setback !== undefined && clock.monotonicMs() < setback.untilMs) continue;
      if (there.filter((vm) => vm.kind === kind).length >= count) continue;
      if (this.#begin(kind)) return true;
    }
    return false;
  }

  #begin(kind: string): boolean {
    const { config, journal, provider } = this.#deps;
    const intent = {
      name: `podvm-pool-${randomBytes(5).toString("hex")}`,
      kind,
      provider: provider.name,
      tags: {
        [OwnerTag.Cluster]: config.current().owner.clusterId,
        [OwnerTag.Node]: config.current().owner.nodeName,
        [OwnerTag.Sandbox]: POOL_SANDBOX,
        [OwnerTag.Namespace]: "",
        [OwnerTag.Pod]: "",
      },
      limit: config.current().limit,
    };
    if (!journal.pool.intend(intent, () => journal.usage().used)) return false;
    this.#make(intent.name);
    return true;
  }

  #resume(): void {
    for (const vm of this.#deps.journal.pool.vms()) {
      if (vm.phase !== "waiting" && !this.#making.has(vm.name)) this.#make(vm.name);
    }
  }

  #make(name: string): void {
    const task = new SharedTask((abort) => this.#makeNow(name, AbortSignal.any([abort, this.#shutdown])));
    this.#making.set(name, task);
    void task.settled().then(() => {
      this.#making.delete(name);
      this.#changes.notify();
    });
  }

  async #makeNow(name: string, signal: AbortSignal): Promise<void> {
    const { config, clock, journal, log, provider } = this.#deps;
    const record = journal.pool.vms().find((vm) => vm.name === name);
    if (record === undefined) return;
    const startedMs = clock.monotonicMs();
    try {
      const vm = await provider.create(
        {
          name,
          tags: record.tags,
          userData: new Secret(POOL_USER_DATA),
          ...sizeOfKind(record.kind),
          dedicatedTunnelInterface: false,
          externalNetworkInterface: config.current().externalNetworkViaPodVm,
          volumes: [],
        },
        { signal, onId: (id) => journal.pool.idKnown(name, id), onProgress: () => undefined },
      );
      if (vm.addresses.length === 0) throw unavailable(`${provider.name} made VM ${name} without an address`);
      journal.pool.idKnown(name, vm.id);
      journal.pool.waiting(name, vm.addresses);
      this.#setbacks.delete(record.kind);
      log.info("a VM waits in the warm pool", {
        vmName: name,
        step: "pool",
        kind: record.kind,
        durationMs: clock.monotonicMs() - startedMs,
      });
    } catch (error) {
      if (signal.aborted) return;
      this.#holdBack(record.kind, error);
      this.#discard(name);
    }
  }

  #holdBack(kind: string, error: unknown): void {
    const { clock, log } = this.#deps;
    const failures = (this.#setbacks.get(kind)?.failures ?? 0) + 1;
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), MAX_PAUSE_MS);
    this.#setbacks.set(kind, { failures, untilMs: clock.monotonicMs() + pauseMs });
    clock.schedule(pauseMs, () => this.#changes.notify());
    log.warn("no VM could be made for the warm pool; pods get theirs as without it", {
      step: "pool",
      kind,
      pauseMs,
      error: describeError(error),
    });
  }

  /** The provider makes VMs from other settings now. */
  get #isOutdated(): boolean {
    return this.#deps.config.current().vmRevision !== this.#vmRevision;
  }

  /** The limit was lowered under what there is, and the pool still has some of that. */
  get #isOverLimit(): boolean {
    const { config, journal } = this.#deps;
    const { limit } = config.current();
    if (limit < 0 || journal.pool.size() === 0) return false;
    const { used, deleting } = journal.usage();
    return used - deleting > limit;
  }

  /** What is more than wanted goes, those that do not wait yet first. */
  #trim(): void {
    const { config, journal } = this.#deps;
    if (this.#isOutdated) {
      const { vmRevision } = config.current();
      for (const vm of journal.pool.vms()) this.#discard(vm.name);
      // Only now: killed before this line, the next control plane comes to the same conclusion.
      journal.setMeta("pool_revision", vmRevision);
      this.#vmRevision = vmRevision;
    }
    const wanted = new Map(config.current().pool.map(({ kind, count }: PoolEntry) => [kind, count]));
    const kept = new Map<string, number>();
    const waitingFirst = journal.pool
      .vms()
      .sort((a, b) => Number(b.phase === "waiting") - Number(a.phase === "waiting"));
    for (const vm of waitingFirst) {
      const n = (kept.get(vm.kind) ?? 0) + 1;
      if (n > (wanted.get(vm.kind) ?? 0)) this.#discard(vm.name);
      else kept.set(vm.kind, n);
    }
    while (this.#isOverLimit) this.#discard(journal.pool.yieldingWithin()?.name ?? "");
  }

  #discard(name: string): void {
    const { journal, log } = this.#deps;
    const record = journal.pool.vms().find((vm) => vm.name === name);
    if (record === undefined || !journal.pool.discard(name)) return;
    this.#delete(name, record.vmId).catch((error: unknown) => {
      if (!this.#shutdown.aborted)
        log.error("a VM of the warm pool could not be deleted", {
          vmName: name,
          error: describeError(error),
        });
    });
  }

  /** A waiting VM that the cloud no longer runs is replaced. One that cannot be asked about keeps no other from being. */
  async #check(signal: AbortSignal): Promise<void> {
    const { journal, log, provider } = this.#deps;
    for (const { name, vmId, phase } of journal.pool.vms()) {
      if (phase !== "waiting") continue;
      let vm: Vm | undefined;
      try {
        vm = await provider.get(vmId === undefined ? { name } : { name, id: vmId }, signal);
      } catch (error) {
        signal.throwIfAborted();
        log.warn("the cloud cannot be asked whether a VM of the warm pool is still there", {
          vmName: name,
          step: "pool",
          error: describeError(error),
        });
        continue;
      }
      if (vm?.lifecycle === "running") continue;
      log.warn("a VM of the warm pool is gone and is replaced", {
        vmName: name,
        step: "pool",
        lifecycle: vm?.lifecycle ?? "gone",
      });
      this.#discard(name);
    }
  }
}
