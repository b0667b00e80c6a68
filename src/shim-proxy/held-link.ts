import { isCaaError } from "../errors/index.ts";
import { VersionCheckResponse } from "../gen/agent/health.ts";
import type { Clock } from "../platform/index.ts";
import {
  decodeResponse,
  encodeRequest,
  type Frame,
  FrameConnection,
  FrameType,
  type OutgoingFrame,
} from "../ttrpc/index.ts";
import type { FrameMemory } from "./frame-memory.ts";
import type { ShimProxyLimits } from "./limits.ts";
import type { VmStream } from "./vm-dialler.ts";

/** Who sends over a link. */
export interface LinkUser {
  /** The link can be used (again). */
  onUp(): void;
  /** The link broke: nothing that was sent will be answered. */
  onDown(reason: string): void;
  /** The answer to what was sent under `id`. The promise is back-pressure. */
  onAnswer(id: number, frame: Frame): void | Promise<void>;
}

/** What a link needs of its sandbox. */
export interface LinkHost {
  readonly clock: Clock;
  readonly limits: ShimProxyLimits;
  readonly memory: FrameMemory;
  /** Whether this VM's agent has ever answered: from then on silence means a break, and a new connection is tried out first. */
  agentKnown(): boolean;
  /** One attempt to connect. */
  dial(signal: AbortSignal): Promise<VmStream>;
  /** An attempt failed; false ends the link. */
  dialFailed(link: HeldLink, error: unknown): boolean;
  linkUp(link: HeldLink): void;
  linkDown(link: HeldLink, reason: string): void;
  /** The agent, not only its forwarder, has answered something, at this time. */
  agentAnswered(atMs: number): void;
  agentVersion(version: string): void;
}

/** A request's envelope; see Frame for `framed`. */
type Request = Pick<Frame, "data" | "framed">;

/** What was sent under an id. */
export interface Sent {
  readonly id: number;
  /** Undefined: written at once. Else resolves when written, rejects when the link broke before that. */
  readonly waiting: Promise<void> | undefined;
}

type OwnCall = "version" | "check";

const NO_BYTES = new Uint8Array(0);
const ownRequest = (method: "Version" | "Check"): Buffer =>
  encodeRequest({ service: "grpc.Health", method, payload: NO_BYTES, timeoutNano: 0n, metadata: [] });
/** Ids are unsigned 32 bit; a connection that used them up is made anew. */
const MAX_STREAM_ID = 0xffff_fffd;

/** One connection to the forwarder, and what is under way on it. */
interface Attempt {
  readonly connection: FrameConnection;
  readonly vm: VmStream;
  readonly ownCalls: Map<number, OwnCall>;
  /** Forwarded and own Checks that were not answered, by id, with the time when they were sent. */
  readonly checks: Map<number, number>;
  readonly ended: PromiseWithResolvers<string>;
  /** Resolves when the agent has answered anything; undefined once it has. */
  answered: PromiseWithResolvers<void> | undefined;
  nextId: number;
  lastHeardMs: number;
  /** Bytes read and bytes still to be written when we last looked: changes below the level of frames. */
  bytesHeard: number;
  bytesQueued: number;
  /** Answers that wait because the shim does not read; our own doing, so silence means nothing meanwhile. */
  stalled: number;
}

/**
 * A connection to a VM's forwarder that is made again whenever it breaks, until `close`. A break is a close, or a Check
 * that stays unanswered while nothing else is heard. Ids are the link's own, so that its Checks travel, and keep the way
 * open, on the very connection that carries the shim's calls.
 */
export class HeldLink {
  readonly #host: LinkHost;
  readonly #closing: AbortController = new AbortController();
  #user: LinkUser | undefined;
  #attempt: Attempt | undefined;
  #up = false;
  #everUp = false;
  #failures = 0;
  #cancelWatch: (() => void) | undefined;
  /** When the timer of `#watch` fires; Infinity without one. */
  #watchAtMs = Number.POSITIVE_INFINITY;

  constructor(host: LinkHost) {
    this.#host = host;
  }

  /** Whether something can be sent now. */
  get isUp(): boolean {
    return this.#up;
  }

  /** Whether it ought to be up and is not. */
  get isDown(): boolean {
    return !this.#up && (this.#everUp || this.#failures > 0);
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Gives the link to its user; calls `onUp` at once if it is up. */
  adopt(user: LinkUser): void {
    this.#user = user;
    if (this.#up) user.onUp();
  }

  /** Dials, and dials again after every break, until `close`. */
  async run(): Promise<void> {
    while (!this.closed) {
      const vm = await this.#dial();
      if (vm === undefined) return;
      const attempt = this.#begin(vm);
      const reason = await this.#serve(attempt);
      this.#attempt = undefined;
      this.#endWatch();
      attempt.connection.destroy();
      if (this.closed) return;
      this.#failures++;
      this.#leaveUp(reason);
      if (this.#failures > 1) await this.#pause();
    }
  }

  /** Ends it. Nothing is called any more. */
  close(): void {
    if (this.closed) return;
    this.#user = undefined;
    this.#up = false;
    this.#closing.abort();
    this.#endWatch();
    this.#attempt?.connection.destroy();
  }

  /** Drops the connection and dials again. */
  drop(reason: string): void {
    this.#attempt?.ended.resolve(reason);
  }

  /** Sends a request under an id of the link. Only while it is up. `isCheck`: its answer is a sign of life to wait for. */
  send(request: Request, isCheck: boolean): Sent | undefined {
    const attempt = this.#attempt;
    if (attempt === undefined || !this.#up) return undefined;
    return this.#send(attempt, request, isCheck);
  }

  async #dial(): Promise<VmStream | undefined> {
    for (;;) {
      try {
        const vm = await this.#host.dial(this.#closing.signal);
        if (!this.closed) return vm;
        vm.stream.destroy();
        return undefined;
      } catch (error) {
        if (this.closed) return undefined;
        this.#failures++;
        if (!this.#host.dialFailed(this, error)) {
          this.close();
          return undefined;
        }
        await this.#pause();
      }
      if (this.closed) return undefined;
    }
  }

  async #pause(): Promise<void> {
    const { clock, limits } = this.#host;
    const known = this.#everUp || this.#host.agentKnown();
    const maxMs = known ? limits.redialMaxMs : limits.firstDialMaxMs;
    const delayMs = Math.min(maxMs, limits.redialMinMs * 2 ** Math.min(this.#failures - 1, 16));
    try {
      await clock.sleep(delayMs, this.#closing.signal);
    } catch (error) {
      if (!this.closed) throw error;
    }
  }

  #begin(vm: VmStream): Attempt {
    const { clock, limits, memory } = this.#host;
    const attempt: Attempt = {
      vm,
      connection: new FrameConnection(
        vm.stream,
        {
          onFrame: (frame) => this.#onFrame(attempt, frame),
          onClose: (reason) => attempt.ended.resolve(reason.error.message),
        },
        { maxQueuedBytes: limits.maxQueuedBytes, clock, buffers: memory.buffers, reads: vm.reads },
      ),
      ownCalls: new Map(),
      checks: new Map(),
      ended: Promise.withResolvers(),
      answered: Promise.withResolvers(),
      nextId: 1,
      lastHeardMs: clock.monotonicMs(),
      bytesHeard: vm.bytesRead(),
      bytesQueued: 0,
      stalled: 0,
    };
    this.#attempt = attempt;
    this.#sendOwn(attempt, "version");
    return attempt;
  }

  /** Until the connection is over; resolves with why. */
  async #serve(attempt: Attempt): Promise<string> {
    const answered = attempt.answered?.promise ?? Promise.resolve();
    if (this.#host.agentKnown()) {
      const failure = await this.#tryOut(attempt, answered);
      if (failure !== undefined) return failure;
    } else {
      void answered.then(() => {
        this.#failures = 0;
      });
    }
    if (this.closed) return "closed";
    this.#up = true;
    this.#everUp = true;
    if (this.#host.agentKnown()) this.#failures = 0;
    this.#watch(attempt);
    this.#host.linkUp(this);
    this.#user?.onUp();
    return attempt.ended.promise;
  }

  /** The forwarder accepts while its agent hangs, so a connection counts only once the agent has answered on it. */
  async #tryOut(attempt: Attempt, answered: Promise<void>): Promise<string | undefined> {
    const { clock, limits } = this.#host;
    const silent = Promise.withResolvers<string>();
    const cancel = clock.schedule(limits.checkTimeoutMs, () =>
      silent.resolve(`the agent gave no answer within ${limits.checkTimeoutMs} ms on a new connection`),
    );
    try {
      return await Promise.race([answered.then(() => undefined), attempt.ended.promise, silent.promise]);
    } finally {
      cancel();
    }
  }

  #leaveUp(reason: string): void {
    if (!this.#up) return;
    this.#up = false;
    this.#host.linkDown(this, reason);
    this.#user?.onDown(reason);
  }

  #send(attempt: Attempt, request: Request, isCheck: boolean): Sent {
    const id = attempt.nextId;
    attempt.nextId += 2;
    if (attempt.nextId > MAX_STREAM_ID) this.drop("the connection's stream ids are used up");
    if (isCheck) attempt.checks.set(id, this.#host.clock.monotonicMs());
    const { data, framed } = request;
    const frame: OutgoingFrame = { streamId: id, type: FrameType.Request, flags: 0, data, framed };
    // What comes of a frame that was accepted shows in onDown.
    const waiting = attempt.connection.offer(frame) ? undefined : attempt.connection.send(frame);
    return { id, waiting };
  }

  #sendOwn(attempt: Attempt, call: OwnCall): void {
    const data = ownRequest(call === "version" ? "Version" : "Check");
    const sent = this.#send(attempt, { data }, call === "check");
    attempt.ownCalls.set(sent.id, call);
    sent.waiting?.catch(() => undefined);
  }

  #onFrame(attempt: Attempt, frame: Frame): void | Promise<void> {
    attempt.lastHeardMs = this.#host.clock.monotonicMs();
    attempt.bytesHeard = attempt.vm.bytesRead();
    if (frame.type !== FrameType.Response) return;
    this.#host.agentAnswered(attempt.lastHeardMs);
    attempt.answered?.resolve();
    attempt.answered = undefined;
    if (attempt.checks.delete(frame.streamId)) this.#watch(attempt);
    const own = attempt.ownCalls.size === 0 ? undefined : attempt.ownCalls.get(frame.streamId);
    if (own !== undefined) {
      attempt.ownCalls.delete(frame.streamId);
      if (own === "version") this.#host.agentVersion(versionOf(frame));
      return;
    }
    const pushed = this.#user?.onAnswer(frame.streamId, frame);
    if (pushed === undefined) return;
    attempt.stalled++;
    return pushed.finally(() => {
      attempt.stalled--;
      attempt.lastHeardMs = this.#host.clock.monotonicMs();
    });
  }

  /**
   * Looks again when the next thing is due: a Check of our own on an idle link, or the verdict on an unanswered one. A timer that
   * fires before that looks what is due then: what comes in puts it off all the time.
   */
  #watch(attempt: Attempt): void {
    const { clock, limits } = this.#host;
    const heardMs = attempt.lastHeardMs;
    const [oldestCheckMs] = attempt.checks.values();
    const dueMs =
      oldestCheckMs === undefined
        ? heardMs + limits.checkIdleMs
        : Math.max(oldestCheckMs, heardMs) + limits.checkTimeoutMs;
    if (this.#watchAtMs <= dueMs) return;
    this.#cancelWatch?.();
    this.#watchAtMs = dueMs;
    this.#cancelWatch = clock.schedule(Math.max(1, dueMs - clock.monotonicMs()), () => {
      this.#watchAtMs = Number.POSITIVE_INFINITY;
      if (this.#attempt !== attempt || this.closed) return;
      this.#judge(attempt);
      this.#watch(attempt);
    });
  }

  #endWatch(): void {
    this.#cancelWatch?.();
    this.#watchAtMs = Number.POSITIVE_INFINITY;
  }

  #judge(attempt: Attempt): void {
    const { clock, limits } = this.#host;
    const nowMs = clock.monotonicMs();
    if (showsLife(attempt)) attempt.lastHeardMs = nowMs;
    const [oldestCheckMs] = attempt.checks.values();
    if (!this.#host.agentKnown()) attempt.lastHeardMs = nowMs;
    else if (oldestCheckMs === undefined) {
      if (nowMs - attempt.lastHeardMs >= limits.checkIdleMs) this.#sendOwn(attempt, "check");
    } else if (nowMs - Math.max(oldestCheckMs, attempt.lastHeardMs) >= limits.checkTimeoutMs) {
      attempt.ended.resolve(`a health check was not answered within ${limits.checkTimeoutMs} ms`);
    }
  }
}

/** A long frame on its slow way in or out, or a shim that does not read: alive, though no answer came. */
function showsLife(attempt: Attempt): boolean {
  const read = attempt.vm.bytesRead();
  const queued = attempt.connection.queuedBytes;
  const alive = read !== attempt.bytesHeard || queued < attempt.bytesQueued || attempt.stalled > 0;
  attempt.bytesHeard = read;
  attempt.bytesQueued = queued;
  return alive;
}

/** The VM writes it, and it gets into events and logs. */
const MAX_VERSION_CHARS = 64;

/** The agent's version, or "" for an agent that does not tell. */
function versionOf(frame: Frame): string {
  try {
    const { agentVersion } = VersionCheckResponse.decode(decodeResponse(frame.data).payload);
    return agentVersion.slice(0, MAX_VERSION_CHARS);
  } catch {
    return "";
  }
}

/** Whether a failed dial need not be repeated. */
export const isFinal = (error: unknown): boolean => isCaaError(error, "unauthorised");
