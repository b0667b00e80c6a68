import {
  alreadyExists,
  CaaError,
  cancelled,
  describeError,
  isCaaError,
  notFound,
  unavailable,
  wrongState,
} from "../errors/index.ts";
import type { SandboxRecord, VmRecord } from "../journal/index.ts";
import { Activities, type Activity } from "./activities.ts";
import { createSandbox, type Slots } from "./create.ts";
import type { SandboxDeps } from "./ports.ts";
import { Removal } from "./removal.ts";
import { checkSandboxId, isSameRequest, type PodRequest } from "./request.ts";
import { Broadcast, SharedTask } from "./shared-task.ts";
import { startSandbox } from "./start.ts";
import { asStep, notify, podFields, podRef, requestedPod, toDisk } from "./steps.ts";
import { Timers } from "./timers.ts";
import { VmDeleter } from "./vm-deleter.ts";
import { WarmPool } from "./warm-pool.ts";

/**
 * The life of all sandboxes of this node: what CreateVM, StartVM and StopVM mean. Calls may be repeated, concurrent,
 * cancelled, and cut by the end of the process at any point; the journal is the only memory.
 *
 * No operation belongs to its caller: a caller that stops waiting changes nothing (`callerLeft` and `stop` do).
 */
export class SandboxManager {
  readonly #deps: SandboxDeps;
  readonly #activities = new Activities();
  readonly #changes = new Broadcast();
  readonly #shutdown = new AbortController();
  readonly #deleter: VmDeleter;
  readonly #pool: WarmPool;
  readonly #removal: Removal;
  readonly #timers: Timers;
  readonly #unfollow: () => void;
  readonly #background = new Set<Promise<void>>();
  readonly #onRunning: (id: string) => void;

  /** `onRunning` is told of each sandbox whose StartVM has succeeded. */
  constructor(deps: SandboxDeps, onRunning: (id: string) => void = () => undefined) {
    this.#deps = deps;
    this.#onRunning = onRunning;
    this.#deleter = new VmDeleter(deps, () => this.#changes.notify(), this.#shutdown.signal);
    this.#pool = new WarmPool(deps, this.#deleter, this.#changes, this.#shutdown.signal);
    this.#removal = new Removal(deps, this.#deleter, this.#shutdown.signal);
    this.#timers = new Timers(deps);
    // A limit that was raised lets in who waits for a slot.
    this.#unfollow = deps.config.onChange(() => this.#changes.notify());
  }

  /** Notified whenever something in the journal or in an activity changed. */
  get changes(): Broadcast {
    return this.#changes;
  }

  /** What a start of this sandbox is waiting for, for people. */
  progress(id: string): string | undefined {
    return this.#activities.get(id)?.progress;
  }

  // ---- CreateVM ---------------------------------------------------------------------------------------------

  /** Returns the path of the agent's socket. A repeated call joins the first or gets its outcome. */
  async create(request: PodRequest, signal: AbortSignal): Promise<string> {
    const id = request.sandboxId;
    this.#refuseStopped(id, "CreateVM");
    const text = JSON.stringify(request);
    const known = this.#activities.get(id)?.createText ?? this.#deps.journal.sandbox(id)?.requestJson;
    if (known !== undefined && !isSameRequest(known, text)) {
      throw alreadyExists(`sandbox ${id} exists with other arguments; a CRI sandbox id is used once`);
    }
    const activity = this.#activities.of(id);
    if (activity.create === undefined) {
      activity.createText = text;
      activity.create = new SharedTask((abort) => this.#runCreate(request, abort));
      this.#activities.track(id, activity.create, "create");
    }
    return await activity.create.join(signal);
  }

  async #runCreate(request: PodRequest, abort: AbortSignal): Promise<string> {
    const { log, clock, journal } = this.#deps;
    const id = request.sandboxId;
    const startedMs = clock.monotonicMs();
    const fields = { sandboxId: id, pod: `${request.podNamespace}/${request.podName}` };
    try {
      const socket = await asStep(
        this.#deps,
        { step: "create", pod: requestedPod(request), vmName: "" },
        this.#shutdown.signal,
        () => createSandbox(this.#deps, this.#slots(), request, this.#orShutdown(abort)),
      );
      if (journal.sandbox(id)?.phase === "created") this.#expireReservation(id);
      log.info("sandbox is created", {
        ...fields,
        step: "create",
        durationMs: clock.monotonicMs() - startedMs,
      });
      return socket;
    } catch (error) {
      this.#shutdown.signal.throwIfAborted();
      const durationMs = clock.monotonicMs() - startedMs;
      log.warn("CreateVM failed", { ...fields, step: "create", durationMs, error: describeError(error) });
      if (journal.sandbox(id)?.phase === "creating" || journal.sandbox(id)?.phase === "created")
        this.#undoCreate(id);
      throw error;
    } finally {
      this.#changes.notify();
    }
  }

  #slots(): Slots {
    const onYield: Slots["onYield"] = ({ name, vmId }) => this.#inBackground(this.#pool.yielded(name, vmId));
    return { changes: this.#changes, pool: this.#pool, onYield };
  }

  #undoCreate(id: string): void {
    this.#deps.journal.undoCreate(id);
    this.#beginStop(id);
  }

  /** The Go shim sends no StopVM when it dies between CreateVM and StartVM, so a reservation ends by itself. */
  #expireReservation(id: string): void {
    this.#timers.schedule(id, this.#deps.config.current().reservationMs, () => {
      if (this.#deps.journal.sandbox(id)?.phase !== "created") return;
      if (this.#activities.get(id)?.start !== undefined) return;
      this.#deps.log.warn("no StartVM followed CreateVM in time; the sandbox is given up", { sandboxId: id });
      this.#undoCreate(id);
    });
  }

  // ---- StartVM ----------------------------------------------------------------------------------------------

  /** Resolves when the VM runs and is connected. A repeated call joins the first or gets its outcome, failures included. */
  async start(id: string, signal: AbortSignal): Promise<void> {
    checkSandboxId(id);
    this.#refuseStopped(id, "StartVM");
    const running = this.#activities.get(id)?.start;
    if (running !== undefined) return await running.join(signal);
    const record = this.#deps.journal.sandbox(id);
    if (record === undefined) throw notFound(`StartVM: there is no sandbox ${id}; CreateVM comes first`);
    if (record.phase === "running") return;
    if (record.failure !== undefined) throw new CaaError(record.failure.kind, record.failure.message);
    if (record.phase === "creating" || record.phase === "stopping") {
      throw wrongState(`StartVM: sandbox ${id} is ${record.phase}`);
    }
    this.#timers.cancel(id);
    const task = new SharedTask((abort) => this.#runStart(record, abort));
    this.#activities.of(id).start = task;
    this.#activities.track(id, task, "start");
    await task.join(signal);
  }

  async #runStart(record: SandboxRecord, abort: AbortSignal): Promise<void> {
    const { log, clock } = this.#deps;
    const startedMs = clock.monotonicMs();
    const fields = {
      sandboxId: record.id,
      pod: `${record.podNamespace}/${record.podName}`,
      vmName: record.vmName,
      step: "start",
    };
    const pod = podRef(record);
    const observer = {
      onVmId: () => this.#changes.notify(),
      onProgress: (text: string) => {
        this.#activities.of(record.id).progress = text;
        log.debug(text, fields);
        notify(this.#deps, { kind: "progress", pod, vmName: record.vmName, text });
      },
      shutdown: this.#shutdown.signal,
      onDiscarded: (vm: VmRecord) => this.deleteVm(vm.name, vm.vmId),
      makeRoom: () => this.#pool.makeRoom(),
      room: (signal: AbortSignal) => this.#pool.room(signal),
    };
    try {
      await asStep(
        this.#deps,
        { step: "start", pod, vmName: record.vmName },
        this.#shutdown.signal,
        async () => {
          try {
            await startSandbox(this.#deps, record.id, observer, this.#orShutdown(abort));
          } catch (error) {
            throw abort.aborted && abort.reason instanceof Error ? abort.reason : error;
          }
        },
      );
      await toDisk(this.#deps);
      this.#onRunning(record.id);
      log.info("sandbox is running", { ...fields, durationMs: clock.monotonicMs() - startedMs });
    } catch (failure) {
      this.#shutdown.signal.throwIfAborted();
      log.warn("StartVM failed", {
        ...fields,
        error: describeError(failure),
        durationMs: clock.monotonicMs() - startedMs,
      });
      this.#recordFailedStart(record.id, failure);
      throw failure;
    } finally {
      this.#changes.notify();
    }
  }

  /** Keeps the answer, and sees to it that VM and tunnel go, unless a stop is under way and does so itself. */
  #recordFailedStart(id: string, failure: unknown): void {
    const { journal } = this.#deps;
    if (journal.sandbox(id)?.phase === "stopping") return;
    const kind = isCaaError(failure) ? failure.kind : "internal";
    const record = (): void => {
      if (journal.sandbox(id)?.phase === "stopping") return;
      journal.startFailed(id, { kind, message: describeError(failure) });
      this.#inBackground(this.#removal.ofFailedStart(id));
    };
    try {
      record();
    } catch {
      // The disk is full, or worse: the VM must not stay because of that. What fails is logged there.
      this.#inBackground(this.#removal.untilDone(id, "start.failed", async () => record()));
    }
    // A shim that left will hardly come back to say StopVM; one that was told will, unless it is killed.
    const { orphanGraceMs, reservationMs } = this.#deps.config.current();
    this.#expireFailure(id, kind === "cancelled" ? orphanGraceMs : reservationMs);
  }

  /** The answer of a failed start is kept for its StopVM, and not for ever. */
  #expireFailure(id: string, afterMs: number): void {
    this.#timers.schedule(id, afterMs, () => {
      if (this.#deps.journal.sandbox(id)?.phase === "failed") this.recordStop(id);
    });
  }

  // ---- StopVM -----------------------------------------------------------------------------------------------

  /** Resolves when nothing of the sandbox is left. Stopping what is not known succeeds, and is remembered. */
  async stop(id: string, signal: AbortSignal): Promise<void> {
    const task = this.recordStop(id);
    // A sandbox that only the proxy knows (its journal was lost) still has a socket there.
    await (task === undefined ? this.#removal.closeAtProxy(id) : task.join(signal));
  }

  /**
   * Journals the stop before it returns; what is left to do goes on behind. Undefined when nothing is. Throws `journal` when
   * it could not be recorded.
   */
  recordStop(id: string): SharedTask<void> | undefined {
    checkSandboxId(id);
    if (this.#deps.journal.recordStop(id)) return this.#beginStop(id);
    this.#activities.get(id)?.create?.abort(cancelled(`CreateVM of sandbox ${id} was cancelled by StopVM`));
    return undefined;
  }

  #beginStop(id: string): SharedTask<void> {
    const activity = this.#activities.of(id);
    if (activity.stop === undefined) {
      activity.stop = new SharedTask(() => this.#runStop(id, activity));
      this.#activities.track(id, activity.stop, "stop");
      this.#changes.notify();
    }
    return activity.stop;
  }

  /** Goes on until nothing is left: a stop that was recorded must not be given up for a passing failure. */
  async #runStop(id: string, activity: Activity): Promise<void> {
    const { log, clock } = this.#deps;
    const startedMs = clock.monotonicMs();
    this.#timers.cancel(id);
    activity.create?.abort(cancelled(`CreateVM of sandbox ${id} was cancelled by StopVM`));
    activity.start?.abort(cancelled(`StartVM of sandbox ${id} was cancelled by StopVM`));
    await Promise.all([activity.create?.settled(), activity.start?.settled()]);
    const record = this.#deps.journal.sandbox(id);
    const subject = {
      step: "stop" as const,
      vmName: record?.vmName ?? "",
      ...(record && { pod: podRef(record) }),
    };
    await asStep(this.#deps, subject, this.#shutdown.signal, () => this.#removal.all(id));
    await toDisk(this.#deps);
    const { step, vmName } = subject;
    const fields = { sandboxId: id, ...podFields(subject.pod), vmName, step };
    log.info("sandbox is gone", { ...fields, durationMs: clock.monotonicMs() - startedMs });
    this.#changes.notify();
  }

  // ---- what others tell us ----------------------------------------------------------------------------------

  /** The shim left while this call was unanswered: a create or start that nobody waits for is undone. */
  callerLeft(id: string, method: string): void {
    const activity = this.#activities.get(id);
    const reason = `the shim left during ${method} of sandbox ${id}`;
    const record = this.#deps.journal.sandbox(id);
    if (method === "CreateVM" && activity?.create !== undefined) activity.create.abort(cancelled(reason));
    else if (method === "StartVM" && activity?.start !== undefined) activity.start.abort(cancelled(reason));
    // An earlier control plane's work: the call was to be asked again, and now nobody will.
    else if (method === "CreateVM" && record?.phase === "creating") this.undo(record, reason);
    else if (method === "StartVM" && record?.phase === "starting") this.undo(record, reason);
  }

  /** Resolves with the VM's id of the newest sandbox of that pod. Rejects with `not-found` if there is none and `wait` is false. */
  async vmId(namespace: string, name: string, wait: boolean, signal: AbortSignal): Promise<string> {
    const look = (): string | undefined => {
      const found = this.#deps.journal
        .sandboxes()
        .filter((s) => s.podNamespace === namespace && s.podName === name && s.phase !== "stopping")
        .at(-1);
      const vmId = found === undefined ? undefined : this.#deps.journal.vmOf(found.id)?.vmId;
      if (vmId === undefined && !wait) throw notFound(`VM ID for ${namespace}:${name} was not found`);
      return vmId;
    };
    return await this.#changes.until(look, this.#orShutdown(signal));
  }

  /**
   * Ends this control plane's work without undoing it: what runs stops at a journaled point and is left for the next
   * owner; its callers get no answer.
   */
  async shutDown(): Promise<void> {
    this.#shutdown.abort(unavailable("this control plane is shutting down"));
    this.#timers.cancelAll();
    this.#unfollow();
    await this.#activities.settled();
    await this.#pool.settled();
    await this.#deleter.settled();
    await Promise.all(this.#background);
  }

  /** Keeps the warm pool full until aborted. */
  async keepPool(signal: AbortSignal): Promise<void> {
    await this.#pool.run(this.#orShutdown(signal));
  }

  /** Aborted when shutDown has been called. */
  get closing(): AbortSignal {
    return this.#shutdown.signal;
  }

  // ---- recovery (recovery.ts decides; these act) ------------------------------------------------------------

  /** Goes on with a stop, or a failed start's cleaning, that an earlier control plane began. */
  resume(record: SandboxRecord): void {
    if (record.phase === "stopping") this.#beginStop(record.id);
    else if (record.phase === "failed") {
      this.#inBackground(this.#removal.ofFailedStart(record.id));
      this.#expireFailure(record.id, this.#deps.config.current().reservationMs);
    } else if (record.phase === "created") this.#expireReservation(record.id);
  }

  /** Undoes what an earlier control plane began for a caller that is no longer there. */
  undo(record: SandboxRecord, reason: string): void {
    const running = this.#activities.get(record.id);
    if (running?.create !== undefined) running.create.abort(cancelled(reason));
    else if (running?.start !== undefined) running.start.abort(cancelled(reason));
    else if (record.phase === "creating" || record.phase === "created") this.#undoCreate(record.id);
    else if (record.phase === "starting") this.#recordFailedStart(record.id, cancelled(reason));
  }

  /** Deletes VMs that are journaled as deleting without a sandbox of their own. */
  deleteVm(name: string, vmId: string | undefined): void {
    this.#inBackground(this.#deleter.delete(name, vmId));
  }

  // ---- small parts ------------------------------------------------------------------------------------------

  #refuseStopped(id: string, call: string): void {
    this.#shutdown.signal.throwIfAborted();
    this.#deps.journal.setAside.check(id);
    if (this.#deps.journal.isStopped(id)) {
      throw wrongState(
        `${call}: sandbox ${id} has been stopped and cannot come back; the CRI makes a new one`,
      );
    }
  }

  #orShutdown(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#shutdown.signal]);
  }

  #inBackground(work: Promise<unknown>): void {
    const tracked: Promise<void> = work.then(
      () => undefined,
      (error: unknown) => {
        if (!this.#shutdown.signal.aborted)
          this.#deps.log.error("cleaning up failed", { error: describeError(error) });
      },
    );
    this.#background.add(tracked);
    void tracked.then(() => this.#background.delete(tracked));
  }
}
