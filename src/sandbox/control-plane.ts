import { describeError, isCaaError, unavailable } from "../errors/index.ts";
import type { LinkStatus, OwedStopNotice, ProxySnapshot, ShimProxyEvent } from "../shim-proxy/index.ts";
import { refreshCredentialsForever } from "./credentials.ts";
import { Links } from "./links.ts";
import { SandboxManager } from "./manager.ts";
import type { SandboxDeps } from "./ports.ts";
import type { AttachedProxy, ProxySession } from "./proxy-session.ts";
import { Reaper, type ReaperOptions } from "./reaper.ts";
import { reconcile, settleOwedStop } from "./recovery.ts";
import { Broadcast } from "./shared-task.ts";
import { ShimWatch } from "./shim-watch.ts";
import { notify } from "./steps.ts";
import { checkVmsForever } from "./vm-check.ts";

/** How long tombstones of stopped sandboxes are kept. */
const STOP_MEMORY_MS = 24 * 60 * 60 * 1000;
const FORGET_STOPS_INTERVAL_MS = 60 * 60 * 1000;
/** Pause before a stop that could not be recorded is tried again. */
const OWED_STOP_RETRY_MS = 10_000;

export interface NodeState {
  /** The kernel's boot id now. */
  readonly bootId: string;
  /** PODS_DIR was there when this process started: /run has not been emptied. */
  readonly podsDirExisted: boolean;
}

/** How far one owner's term is. */
export interface ControlPlaneState {
  /** Undefined while none is attached. */
  readonly proxy: AttachedProxy | undefined;
  /** Why it could not be attached to, or recovered, the last time; undefined once that succeeded. */
  readonly trouble: string | undefined;
  /** Once true it stays so, also while the proxy is gone. */
  readonly recovered: boolean;
  /** What a person has to mend before calls are served. */
  readonly obstacle: string | undefined;
  /** Parts that have ended by an error of ours: only a new process has them again. */
  readonly broken: readonly string[];
}

/**
 * One owner's term over the node: attached to the shim-proxy, recovered, acting. Made while the owner lock is held, ended
 * by `end` (orderly) or by the death of the process.
 */
export class ControlPlane {
  readonly #deps: SandboxDeps;
  readonly #session: ProxySession;
  readonly #node: NodeState;
  readonly #reaper: ReaperOptions | undefined;
  readonly #manager: SandboxManager;
  readonly #watch: ShimWatch;
  readonly #links = new Links();
  readonly #ending = new AbortController();
  readonly #changed = new Broadcast();
  #recovered = false;
  /** Why calls cannot be served now: the journal cannot be used, or this is the end. */
  #obstacle: Error | undefined;
  /** What has ended by an error of ours and does not come back in this process. */
  readonly #broken: string[] = [];
  #running: Promise<void> = Promise.resolve();
  #checking = false;

  /** Without `reaper`, VMs that nobody owns are not looked for. */
  constructor(deps: SandboxDeps, session: ProxySession, node: NodeState, reaper?: ReaperOptions) {
    this.#reaper = reaper;
    this.#deps = deps;
    this.#session = session;
    this.#node = node;
    this.#manager = new SandboxManager(deps, (id) => this.#watch.expectConnection(id));
    this.#watch = new ShimWatch(deps, this.#manager);
  }

  /** The manager, once it has recovered. Rejects with what keeps it from that when a person has to act. */
  ready(signal: AbortSignal): Promise<SandboxManager> {
    const look = (): SandboxManager | undefined => {
      if (this.#obstacle !== undefined) throw this.#obstacle;
      return this.#recovered ? this.#manager : undefined;
    };
    return this.#changed.until(look, signal);
  }

  /** How far it is, for people and probes. */
  get state(): ControlPlaneState {
    return {
      proxy: this.#session.proxy,
      trouble: this.#session.trouble,
      recovered: this.#recovered,
      obstacle: this.#obstacle === undefined ? undefined : describeError(this.#obstacle),
      broken: this.#broken,
    };
  }

  /** What a start of this sandbox is waiting for, for people. */
  progress(id: string): string | undefined {
    return this.#manager.progress(id);
  }

  /** The state of a sandbox's link as the shim-proxy told it last; undefined before the first dial. */
  link(id: string): LinkStatus | undefined {
    return this.#links.get(id);
  }

  #tell(obstacle: Error | undefined): void {
    this.#obstacle = obstacle;
    this.#changed.notify();
  }

  /** Begins to attach; what goes wrong is tried again until `end`. */
  begin(): void {
    const { clock, journal } = this.#deps;
    journal.forgetStops(clock.wallMs() - STOP_MEMORY_MS);
    this.#running = this.#session
      .run(
        {
          onAttached: (snapshot, signal) => this.#onAttached(snapshot, signal),
          onEvent: (event) => this.#onEvent(event),
          onAbsent: () => this.#resumeDeletesOnly(),
        },
        this.#ending.signal,
      )
      .catch((error: unknown) => this.#onBroken("attaching to the shim-proxy", error));
  }

  /** Stops acting at journaled points; unanswered calls are left to the next owner. */
  async end(signal: AbortSignal, closeFrames: () => void): Promise<void> {
    try {
      await this.#session.release(signal);
    } catch (error) {
      this.#deps.log.warn("the shim-proxy could not be told good-bye", { error: describeError(error) });
    }
    closeFrames();
    this.#ending.abort(unavailable("this control plane is shutting down"));
    this.#tell(unavailable("this control plane is shutting down"));
    await this.#manager.shutDown();
    await this.#running;
    this.#session.close();
  }

  async #onAttached(snapshot: ProxySnapshot, signal: AbortSignal): Promise<void> {
    this.#links.reset(snapshot);
    try {
      await this.#recover(snapshot, signal);
      await this.#session.recovered(signal);
    } catch (error) {
      // Waiting helps nobody then: the pod's events shall say what to do.
      if (isCaaError(error, "journal")) this.#tell(error);
      throw error;
    }
    this.#recovered = true;
    this.#tell(undefined);
    this.#startChecking();
  }

  async #recover(snapshot: ProxySnapshot, signal: AbortSignal): Promise<void> {
    const { journal } = this.#deps;
    const nothingKnown = journal.sandboxes().length === 0;
    const sameBoot =
      nothingKnown || (journal.meta("boot_id") === this.#node.bootId && this.#node.podsDirExisted);
    const sameProxy = nothingKnown || journal.meta("proxy_instance") === snapshot.instanceId;
    const parts = { deps: this.#deps, manager: this.#manager, watch: this.#watch };
    await reconcile(parts, { snapshot, sameBoot, sameProxy }, signal);
    // Only now: a crash before this line must come to the same conclusions again.
    if (journal.meta("boot_id") !== this.#node.bootId) journal.setMeta("boot_id", this.#node.bootId);
    if (journal.meta("proxy_instance") !== snapshot.instanceId)
      journal.setMeta("proxy_instance", snapshot.instanceId);
  }

  /** What goes on beside the calls, from the first attachment to the end. */
  #startChecking(): void {
    if (this.#checking) return;
    this.#checking = true;
    this.#untilEnd("the warm pool", this.#manager.keepPool(this.#ending.signal));
    this.#untilEnd("the VM check", checkVmsForever(this.#deps, this.#links, this.#ending.signal));
    this.#untilEnd("forgetting old stops", this.#forgetStopsForever());
    this.#untilEnd(
      "the look at the certificate files",
      refreshCredentialsForever(this.#deps, this.#ending.signal),
    );
    const { runtime } = this.#deps;
    if (runtime === undefined || this.#reaper === undefined) return;
    const reaper = new Reaper({ ...this.#deps, runtime }, this.#reaper, (vm) => {
      this.#deps.journal.orphanFound({
        name: vm.name,
        vmId: vm.id,
        provider: this.#deps.provider.name,
        tags: vm.tags,
      });
      this.#manager.deleteVm(vm.name, vm.id);
    });
    this.#untilEnd("the reaper", reaper.run(this.#ending.signal));
  }

  async #forgetStopsForever(): Promise<void> {
    const { clock, journal, log } = this.#deps;
    for (;;) {
      await clock.sleep(FORGET_STOPS_INTERVAL_MS, this.#ending.signal);
      try {
        this.#links.keep(new Set(journal.sandboxes().map(({ id }) => id)));
        journal.forgetStops(clock.wallMs() - STOP_MEMORY_MS);
      } catch (error) {
        log.warn("old stops could not be forgotten", { error: describeError(error) });
      }
    }
  }

  #untilEnd(what: string, work: Promise<void>): void {
    work.catch((error: unknown) => this.#onBroken(what, error));
  }

  #onBroken(what: string, error: unknown): void {
    if (this.#ending.signal.aborted) return;
    this.#deps.log.error(`${what} has ended`, { error: describeError(error) });
    this.#broken.push(`${what} has ended by an error of ours: ${describeError(error)}`);
  }

  #onEvent(event: ShimProxyEvent): void {
    this.#links.see(event);
    const { log, journal } = this.#deps;
    const fields = { sandboxId: event.sandboxId };
    switch (event.kind) {
      case "caller-left":
        this.#manager.callerLeft(event.sandboxId, event.method);
        return;
      case "owed-stop":
        this.#untilEnd("settling an owed stop", this.#settleForSure(event));
        return;
      case "shim-connections":
        if (event.open > 0) this.#watch.trust(event.sandboxId);
        else if (event.ever && journal.sandbox(event.sandboxId)?.phase === "running") {
          this.#watch.suspect(event.sandboxId, "the shim has closed its agent connections");
        } else this.#watch.disconnected(event.sandboxId);
        return;
      case "link":
        notify(this.#deps, event);
        if (event.state === "lost")
          log.error("the link to a VM is given up; the pod ends", { ...fields, reason: event.reason });
        else this.#logLink(event);
        return;
      case "loss":
        notify(this.#deps, event);
        log.warn("a broken link cost the pod something", {
          ...fields,
          loss: event.loss,
          detail: event.detail,
        });
        return;
    }
  }

  /** A link's first dial and first success are steps of the start, which logs them. */
  #logLink({ sandboxId, state, reason, breaks }: Extract<ShimProxyEvent, { kind: "link" }>): void {
    const level = breaks === 0 ? "debug" : "info";
    this.#deps.log[level](`link is ${state}`, { sandboxId, step: "link", reason, breaks });
  }

  /** The proxy tells of an owed stop once; a full disk must not lose it. */
  async #settleForSure(owed: OwedStopNotice): Promise<void> {
    const parts = { deps: this.#deps, manager: this.#manager };
    for (;;) {
      try {
        return await settleOwedStop(parts, owed, this.#ending.signal);
      } catch (error) {
        this.#ending.signal.throwIfAborted();
        this.#deps.log.error("an owed stop could not be recorded and is tried again", {
          sandboxId: owed.sandboxId,
          error: describeError(error),
        });
        await this.#deps.clock.sleep(OWED_STOP_RETRY_MS, this.#ending.signal);
      }
    }
  }

  /** Without a proxy nothing is known of the shims, but what is journaled as to be deleted can go. */
  #resumeDeletesOnly(): void {
    this.#deps.log.error("no shim-proxy answers; only VMs that are to go are deleted until one does", {});
    for (const vm of this.#deps.journal.vms()) {
      if (vm.phase === "deleting") this.#manager.deleteVm(vm.name, vm.vmId);
    }
  }
}
