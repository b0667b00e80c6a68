import type { Socket } from "node:net";
import { join } from "node:path";
import {
  cancelled,
  deadlineExceeded,
  describeError,
  gone,
  unauthorised,
  wrongState,
} from "../errors/index.ts";
import type { Event, LinkState, SandboxState } from "../gen/shimproxy/control.ts";
import type { Clock, Log } from "../platform/index.ts";
import { AgentConnection, type AgentHost } from "./agent-connection.ts";
import { standsSecondOomCall } from "./agent-methods.ts";
import type { LinkStateName } from "./control-types.ts";
import type { Counts } from "./counts.ts";
import type { FrameMemory } from "./frame-memory.ts";
import { HeldLink, isFinal, type LinkHost } from "./held-link.ts";
import type { ShimProxyLimits } from "./limits.ts";
import { PlacedSocket } from "./placed-socket.ts";
import { type DialVm, isClosedAfterHandshake, type VmTarget } from "./vm-dialler.ts";
import { encodeLinkState } from "./wire-names.ts";

/** The name that the Go adaptor gives it (pkg/adaptor/proxy/proxy.go). */
export const AGENT_SOCKET_NAME = "agent.ttrpc";

export interface AgentSandboxDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: ShimProxyLimits;
  readonly memory: FrameMemory;
  readonly dial: DialVm;
  readonly counts: Counts;
  emit(event: Event): void;
}

/** First dials that may end right after the TLS handshake before that counts as a refusal: about 1.5 s of them. */
const MAX_HANG_UPS = 30;

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

/** A sandbox: its agent.ttrpc, the shim's connections to it, and the link to the VM. */
export class AgentSandbox {
  readonly id: string;
  readonly dir: string;
  readonly #deps: AgentSandboxDeps;
  readonly #connections: Set<AgentConnection> = new Set();
  readonly #links: Set<HeldLink> = new Set();
  readonly #waiters: Set<Waiter> = new Set();
  readonly #linkHost: LinkHost;
  readonly #agentHost: AgentHost;
  #socket: PlacedSocket | undefined;
  #placing: Promise<PlacedSocket> | undefined;
  #target: VmTarget | undefined;
  /** Dialled by PutLink, for the first connection that sends something. */
  #spare: HeldLink | undefined;
  #everConnected = false;
  #closed = false;

  /** As told to the owner; undefined before the first PutLink. */
  #state: LinkStateName | undefined;
  #reason = "";
  #breaks = 0;
  /** Whether TLS to the present target was ever up, and when the agent was last heard (or the link first up). */
  #linked = false;
  #hangUps = 0;
  #agentKnown = false;
  #agentVersion: string | undefined;
  #lastAnswerMs = 0;
  #oomAbandoned = false;
  #cancelLimit: (() => void) | undefined;

  constructor(id: string, dir: string, deps: AgentSandboxDeps) {
    this.id = id;
    this.dir = dir;
    this.#deps = deps;
    this.#linkHost = this.#makeLinkHost();
    this.#agentHost = this.#makeAgentHost();
  }

  /** What an owner is told at its attach. */
  get snapshot(): SandboxState {
    return {
      id: this.id,
      dir: this.dir,
      hasLink: this.#state !== undefined,
      link: this.#state === undefined ? undefined : this.#linkEvent(this.#state),
      connections: this.#connectionsEvent(),
    };
  }

  /** Makes agent.ttrpc appear, unless it is there. */
  async place(): Promise<void> {
    if (this.#socket?.inPlace === true) return;
    this.#placing ??= PlacedSocket.place(join(this.dir, AGENT_SOCKET_NAME), (socket) => this.#accept(socket));
    try {
      const placed = await this.#placing;
      if (this.#closed) placed.remove();
      else if (this.#socket !== placed) {
        this.#socket?.remove();
        this.#socket = placed;
      }
    } finally {
      this.#placing = undefined;
    }
    if (this.#closed) throw gone(`sandbox ${this.id} was closed`);
  }

  /** Resolves when the link to `target` is up. See ShimProxyControl.putLink. */
  async putLink(target: VmTarget, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const { address, port } = target;
    const same = this.#target?.address === address && this.#target.port === port && this.#state !== "lost";
    if (!same) this.#replace(`the link goes to ${address}:${port} now`);
    this.#target = target;
    if ([...this.#links].some((link) => link.isUp)) return;
    if (this.#links.size === 0) this.#dialSpare();
    await this.#untilUp(timeoutMs, signal);
  }

  /** Gives the link up: the VM is gone. */
  fail(reason: string): void {
    this.#lose(reason);
  }

  /** Closes and forgets everything. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelLimit?.();
    for (const waiter of [...this.#waiters]) waiter.reject(gone(`sandbox ${this.id} was closed`));
    for (const connection of [...this.#connections]) connection.close();
    this.#closeLinks();
    this.#target = undefined;
    this.#socket?.remove();
    this.#socket = undefined;
  }

  #accept(socket: Socket): void {
    const full = this.#connections.size >= this.#deps.limits.maxAgentConnections;
    if (this.#closed || full || this.#state === "lost") {
      if (full)
        this.#deps.log.warn("too many connections to agent.ttrpc, one is refused", { sandboxId: this.id });
      socket.destroy();
      return;
    }
    this.#everConnected = true;
    this.#connections.add(new AgentConnection(socket, this.#agentHost));
    this.#deps.emit({ shimConnections: this.#connectionsEvent() });
  }

  #onConnectionClosed(connection: AgentConnection): void {
    this.#connections.delete(connection);
    if (connection.link !== undefined) this.#links.delete(connection.link);
    this.#updateState("");
    if (!this.#closed) this.#deps.emit({ shimConnections: this.#connectionsEvent() });
  }

  /** A link that nobody uses yet; connections that wait take it, and one each beyond the first. */
  #dialSpare(): void {
    this.#spare = this.#newLink();
    for (const connection of this.#connections) {
      if (!connection.wantsLink) continue;
      const link = this.#takeLink();
      if (link !== undefined) connection.useLink(link);
    }
    this.#updateState("");
  }

  #takeLink(): HeldLink | undefined {
    if (this.#target === undefined || this.#state === "lost" || this.#closed) return undefined;
    if (this.#links.size === 0 && !this.#linked) return undefined;
    const link = this.#spare ?? this.#newLink();
    this.#spare = undefined;
    return link;
  }

  #newLink(): HeldLink {
    const link = new HeldLink(this.#linkHost);
    this.#links.add(link);
    link.run().catch((error: unknown) => {
      this.#deps.log.error("a link ended by an error of ours", {
        sandboxId: this.id,
        error: describeError(error),
      });
      this.#lose(`an error of the shim-proxy: ${describeError(error)}`);
    });
    return link;
  }

  #closeLinks(): void {
    for (const link of this.#links) link.close();
    this.#links.clear();
    this.#spare = undefined;
  }

  /** Forgets the present target; connections wait for the next one. */
  #replace(reason: string): void {
    for (const waiter of [...this.#waiters]) waiter.reject(wrongState(`sandbox ${this.id}: ${reason}`));
    this.#closeLinks();
    this.#cancelLimit?.();
    this.#cancelLimit = undefined;
    this.#state = undefined;
    this.#linked = false;
    this.#agentKnown = false;
    this.#agentVersion = undefined;
    for (const connection of this.#connections) connection.loseLink(reason);
  }

  #untilUp(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { resolve, reject };
    this.#waiters.add(waiter);
    const cancelTimer = this.#deps.clock.schedule(timeoutMs, () => {
      const last = this.#reason === "" ? "" : `; last: ${this.#reason}`;
      reject(
        deadlineExceeded(
          `the pod VM of sandbox ${this.id} at ${this.#target?.address}:${this.#target?.port} did not answer within ${timeoutMs} ms (PROXY_TIMEOUT)${last}`,
        ),
      );
    });
    const onAbort = (): void =>
      reject(cancelled(`the dial for sandbox ${this.id} was given up by its caller`));
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    return promise.finally(() => {
      cancelTimer();
      signal.removeEventListener("abort", onAbort);
      this.#waiters.delete(waiter);
      if (this.#waiters.size === 0 && !this.#linked) this.#abandonDial();
    });
  }

  /** Nobody waits for a first dial that did not succeed. */
  #abandonDial(): void {
    if (this.#closed || this.#links.size === 0) return;
    this.#replace("the first dial was given up");
    this.#target = undefined;
  }

  #makeLinkHost(): LinkHost {
    return {
      ...this.#deps,
      agentKnown: () => this.#agentKnown,
      dial: (signal) => {
        const target = this.#target;
        if (target === undefined) return Promise.reject(gone(`sandbox ${this.id} has no VM`));
        return this.#deps.dial(target, signal);
      },
      dialFailed: (_link, error) => this.#onDialFailed(error),
      linkUp: () => this.#onLinkUp(),
      linkDown: (_link, reason) => this.#onLinkDown(reason),
      agentAnswered: (atMs) => {
        this.#agentKnown = true;
        this.#lastAnswerMs = atMs;
      },
      agentVersion: (version) => {
        this.#agentVersion = version;
        if (this.#oomAbandoned && standsSecondOomCall(version))
          for (const connection of this.#connections) if (connection.link?.isUp === true) connection.onUp();
      },
    };
  }

  #makeAgentHost(): AgentHost {
    return {
      ...this.#deps,
      volumes: () => this.#target?.volumes ?? [],
      linked: () => this.#linked,
      agentKnown: () => this.#agentKnown,
      oomAllowed: () => !this.#oomAbandoned || standsSecondOomCall(this.#agentVersion),
      oomAbandoned: () => {
        this.#oomAbandoned = true;
        if (!standsSecondOomCall(this.#agentVersion))
          this.#emitLoss(
            "oom-event",
            `the agent (${this.#agentVersion || "unknown version"}) cannot be asked twice`,
          );
      },
      takeLink: () => this.#takeLink(),
      lost: (loss) => this.#emitLoss(loss.kind, loss.detail),
      warn: (text) => this.#deps.log.warn(text, { sandboxId: this.id }),
      closed: (connection) => this.#onConnectionClosed(connection),
    };
  }

  #emitLoss(kind: string, detail: string): void {
    this.#deps.log.warn("a link break cost the pod something", { sandboxId: this.id, loss: kind, detail });
    this.#deps.emit({ loss: { sandboxId: this.id, kind, detail } });
  }

  #onDialFailed(error: unknown): boolean {
    const text = describeError(error);
    this.#hangUps = isClosedAfterHandshake(error) ? this.#hangUps + 1 : 0;
    const refused =
      this.#hangUps >= MAX_HANG_UPS
        ? unauthorised(`${text}, ${this.#hangUps} times in a row; it seems to refuse our client certificate`)
        : isFinal(error)
          ? error
          : undefined;
    if (!this.#linked && refused instanceof Error) {
      for (const waiter of [...this.#waiters]) waiter.reject(refused);
      return false;
    }
    this.#updateState(text);
    return true;
  }

  #onLinkUp(): void {
    if (!this.#linked) {
      this.#linked = true;
      this.#lastAnswerMs = this.#deps.clock.monotonicMs();
    }
    this.#updateState("");
    for (const waiter of [...this.#waiters]) waiter.resolve();
  }

  #onLinkDown(reason: string): void {
    this.#breaks++;
    this.#updateState(reason);
  }

  /** Tells the owner when what the links are, taken together, has changed. */
  #updateState(reason: string): void {
    if (this.#closed || this.#state === "lost" || this.#target === undefined) return;
    const links = [...this.#links];
    const down = links.some((link) => link.isDown);
    const state: LinkStateName = !this.#linked ? "dialing" : down ? "down" : "up";
    if (reason !== "") this.#reason = reason;
    if (state === "up") this.#reason = "";
    this.#armLimit(state);
    if (state === this.#state) return;
    this.#state = state;
    this.#deps.log.info(`the link to the pod VM is ${state}`, {
      sandboxId: this.id,
      breaks: this.#breaks,
      ...(this.#reason === "" ? {} : { error: this.#reason }),
    });
    this.#deps.emit({ link: this.#linkEvent(state) });
  }

  /** Counts from the agent's last answer; but a process that slept itself gives the link one fair try first. */
  #armLimit(state: LinkStateName): void {
    if (state !== "down") {
      this.#cancelLimit?.();
      this.#cancelLimit = undefined;
      return;
    }
    if (this.#cancelLimit !== undefined) return;
    const { limits } = this.#deps;
    this.#limitAfter(Math.max(this.#msUntilLimit(), limits.checkTimeoutMs));
  }

  #limitAfter(ms: number): void {
    const { clock } = this.#deps;
    this.#cancelLimit = clock.schedule(ms, () => {
      this.#cancelLimit = undefined;
      // Another connection's link may have heard the agent meanwhile.
      const leftMs = this.#msUntilLimit();
      if (leftMs > 0) return this.#limitAfter(leftMs);
      const seconds = Math.round((clock.monotonicMs() - this.#lastAnswerMs) / 1000);
      this.#lose(`the agent gave no answer for ${seconds} s: ${this.#reason}`);
    });
  }

  #msUntilLimit(): number {
    const { clock, limits } = this.#deps;
    return this.#lastAnswerMs + limits.downLimitMs - clock.monotonicMs();
  }

  #lose(reason: string): void {
    if (this.#closed || this.#state === "lost") return;
    this.#cancelLimit?.();
    this.#cancelLimit = undefined;
    this.#state = "lost";
    this.#reason = reason;
    this.#deps.log.warn("the link to the pod VM is given up; the shim's connections are closed", {
      sandboxId: this.id,
      error: reason,
    });
    this.#deps.emit({ link: this.#linkEvent("lost") });
    for (const waiter of [...this.#waiters])
      waiter.reject(gone(`the VM of sandbox ${this.id} is gone: ${reason}`));
    for (const connection of [...this.#connections]) connection.close();
    this.#closeLinks();
  }

  #linkEvent(state: LinkStateName): LinkState {
    return { sandboxId: this.id, state: encodeLinkState(state), reason: this.#reason, breaks: this.#breaks };
  }

  #connectionsEvent(): { sandboxId: string; open: number; ever: boolean } {
    return { sandboxId: this.id, open: this.#connections.size, ever: this.#everConnected };
  }
}
