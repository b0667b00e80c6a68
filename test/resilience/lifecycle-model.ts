import type fc from "fast-check";
import { OwnerTag } from "../../providers/contract.ts";
import { capacityExhausted, isCaaError, networkFailed, unavailable } from "../../src/errors/index.ts";
import { reconcile } from "../../src/sandbox/recovery.ts";
import { ShimWatch } from "../../src/sandbox/shim-watch.ts";
import type { ProxySnapshot } from "../../src/shim-proxy/index.ts";
import { settle } from "../fakes/fake-clock.ts";
import { FakeSandboxes } from "../fakes/fake-sandboxes.ts";

export const MODEL_LIMIT = 2;
export const MODEL_IDS = ["s0", "s1", "s2", "s3", "s4", "s5"] as const;
/** Longer than every pause, reservation and retry of the lifecycle. */
const LONG_MS = 3_600_000;

type Method = "CreateVM" | "StartVM" | "StopVM";
/** What dies with a control plane. */
export type Restart = "control-plane" | "and a shim" | "and the shim-proxy" | "and the node";
/** How the pods of a model end. */
export type Ending = "stops" | "reboot" | "shims die";
type Gate = "create-before" | "create-after" | "delete";

/** What must hold: the ids that were ever stopped. All else is read from the node. */
export interface Model {
  readonly stopped: Set<string>;
}

/** A call of a shim's, as the shim-proxy holds it over restarts. */
interface HeldCall {
  readonly id: string;
  readonly method: Method;
  /** The id had been stopped before this call was made. */
  readonly afterStop: boolean;
  readonly caller: AbortController;
  /** The shim has left; the next owner is told. */
  left: boolean;
  settled: boolean;
}

/** A node with shims that call, and a proxy that asks again after each restart. */
export class ModelNode implements Disposable {
  readonly node: FakeSandboxes = new FakeSandboxes({ limit: MODEL_LIMIT });
  readonly #calls: HeldCall[] = [];
  readonly #gates: (() => void)[] = [];
  #watch: ShimWatch = new ShimWatch(this.node.deps, this.node.manager);
  readonly violations: string[] = [];
  /** Calls that succeeded. */
  readonly succeeded: Record<Method, number> = { CreateVM: 0, StartVM: 0, StopVM: 0 };

  call(method: Method, id: string, model: Model): void {
    const call: HeldCall = {
      id,
      method,
      afterStop: model.stopped.has(id),
      caller: new AbortController(),
      left: false,
      settled: false,
    };
    this.#calls.push(call);
    this.#ask(call);
  }

  #ask(call: HeldCall): void {
    const { manager } = this.node;
    const { signal } = call.caller;
    const answer =
      call.method === "CreateVM"
        ? manager.create(this.node.request(call.id), signal)
        : call.method === "StartVM"
          ? manager.start(call.id, signal)
          : manager.stop(call.id, signal);
    answer.then(
      () => {
        call.settled = true;
        this.succeeded[call.method]++;
        if (call.afterStop && call.method !== "StopVM" && !call.left)
          this.violations.push(`${call.method} of ${call.id} succeeded after its stop`);
      },
      (error: unknown) => {
        // What the end of a control plane cuts is asked again, as the proxy does.
        if (manager === this.node.manager && !manager.closing.aborted) call.settled = true;
        if (!isCaaError(error) && !signal.aborted)
          this.violations.push(`${call.method} of ${call.id} failed as no call may: ${String(error)}`);
      },
    );
  }

  #pending(): HeldCall[] {
    return this.#calls.filter((call) => !call.settled && !call.left);
  }

  /** The shim of the n-th unanswered call dies. */
  callerLeaves(n: number): void {
    const pending = this.#pending();
    const call = pending[n % Math.max(1, pending.length)];
    if (call === undefined) return;
    call.left = true;
    call.caller.abort(new Error("the shim left"));
    this.node.manager.callerLeft(call.id, call.method);
  }

  hold(point: Gate): void {
    this.#gates.push(this.node.cloud.hold(point));
  }

  release(): void {
    for (const open of this.#gates.splice(0)) open();
  }

  /** The control plane ends, and with it what `what` says; the next one recovers and is asked what is unanswered. */
  async restart(what: Restart): Promise<void> {
    await this.node.restart();
    const { deps, manager, proxy } = this.node;
    const pending = this.#pending();
    const leaving = what === "control-plane" ? [] : what === "and a shim" ? pending.slice(0, 1) : pending;
    for (const call of leaving) call.left = true;
    const proxyLives = what === "control-plane" || what === "and a shim";
    if (!proxyLives) proxy.sandboxes.clear();
    const snapshot: ProxySnapshot = {
      instanceId: "proxy",
      apiVersion: 1,
      programVersion: "test",
      sandboxes: [...proxy.sandboxes].map(([id, dir]) => ({ id, dir, connections: { open: 1, ever: true } })),
      heldCalls: this.#pending().map(({ id, method }) => ({ sandboxId: id, method, deaths: 0 })),
      callersLeft: proxyLives ? leaving.map(({ id, method }) => ({ sandboxId: id, method })) : [],
      owedStops: proxyLives
        ? leaving
            .filter(({ method }) => method === "StopVM")
            .map(({ id }) => ({ sandboxId: id, reason: "caller" as const }))
        : [],
    };
    const findings = { snapshot, sameBoot: what !== "and the node", sameProxy: proxyLives };
    this.#watch = new ShimWatch(deps, manager);
    await reconcile({ deps, manager, watch: this.#watch }, findings, new AbortController().signal);
    for (const call of this.#pending()) this.#ask(call);
    await settle();
  }

  /** Throws when a promise of the lifecycle is broken. */
  check(): void {
    const { cloud, journal } = this.node;
    const bySandbox = new Map<string, number>();
    for (const vm of cloud.vms.values()) {
      const id = vm.tags[OwnerTag.Sandbox] ?? "";
      bySandbox.set(id, (bySandbox.get(id) ?? 0) + 1);
    }
    for (const [id, count] of bySandbox) if (count > 1) this.violations.push(`${id} has ${count} VMs`);
    if (journal.usage().used > MODEL_LIMIT) this.violations.push(`${journal.usage().used} slots are taken`);
    if (cloud.vms.size > MODEL_LIMIT) this.violations.push(`there are ${cloud.vms.size} VMs`);
    if (this.violations.length > 0) throw new Error(this.violations.join("; "));
  }

  /** All shims are killed: their calls and their connections to agents end, and nobody says StopVM. */
  async #shimsDie(): Promise<void> {
    while (this.#pending().length > 0) this.callerLeaves(0);
    await settle();
    for (const { id, phase } of this.node.journal.sandboxes())
      if (phase === "running") this.#watch.suspect(id, "the shim was killed");
  }

  /** Ends every pod in this way, and throws when anything is left, or a call unanswered. */
  async end(model: Model, how: Ending): Promise<void> {
    this.release();
    if (how === "reboot") await this.restart("and the node");
    else if (how === "shims die") await this.#shimsDie();
    else
      for (const id of MODEL_IDS) {
        model.stopped.add(id);
        this.call("StopVM", id, model);
      }
    await this.node.clock.advance(LONG_MS);
    this.check();
    const left = this.node.residue();
    if (left.length > 0) throw new Error(`left behind: ${left.join("; ")}`);
    const unanswered = this.#pending().map(({ id, method }) => `${method} of ${id}`);
    if (unanswered.length > 0) throw new Error(`never answered: ${unanswered.join("; ")}`);
  }

  [Symbol.dispose](): void {
    this.node[Symbol.dispose]();
  }
}

type Command = fc.AsyncCommand<Model, ModelNode>;

/** A step that is always possible; afterwards everything is checked. */
function command(text: string, act: (model: Model, node: ModelNode) => void | Promise<void>): Command {
  return {
    check: () => true,
    async run(model, node) {
      await act(model, node);
      await settle();
      node.check();
    },
    toString: () => text,
  };
}

export const callCommand = (method: Method, id: string): Command =>
  command(`${method} ${id}`, (model, node) => {
    node.call(method, id, model);
    if (method === "StopVM") model.stopped.add(id);
  });

/** Both calls, as a shim makes them when all goes well. */
export const podCommand = (id: string): Command =>
  command(`pod ${id}`, async (model, node) => {
    node.call("CreateVM", id, model);
    await settle();
    node.call("StartVM", id, model);
  });

export const leaveCommand = (n: number): Command =>
  command(`shim of call ${n} dies`, (_, node) => node.callerLeaves(n));

export const advanceCommand = (ms: number): Command =>
  command(`${ms} ms pass`, (_, { node }) => node.clock.advance(ms));

export const restartCommand = (what: Restart): Command =>
  command(`restart ${what}`, (_, node) => node.restart(what));

export const holdCommand = (point: Gate): Command => command(`hold ${point}`, (_, node) => node.hold(point));

export const releaseCommand = (): Command => command("release", (_, node) => node.release());

export type FailureKind = "create" | "delete" | "tunnel";

export const failCommand = (kind: FailureKind): Command =>
  command(`next ${kind} fails`, (_, { node }) => {
    if (kind === "create") node.cloud.failNext("create", capacityExhausted("no room"));
    else if (kind === "delete") node.cloud.failNext("delete", unavailable("the cloud is away"));
    else node.node.failNextTunnel(networkFailed("no device"));
  });
