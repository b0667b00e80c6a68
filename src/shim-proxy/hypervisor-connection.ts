import { connect, type Socket } from "node:net";
import { Code, describeError } from "../errors/index.ts";
import type { Clock, Log } from "../platform/index.ts";
import {
  type CloseReason,
  decodeResponse,
  type Frame,
  FrameConnection,
  FrameType,
  type OutgoingFrame,
  StreamIds,
} from "../ttrpc/index.ts";
import { type HypervisorCall, isStop, sandboxIdOf } from "./hypervisor-calls.ts";
import type { ShimProxyLimits } from "./limits.ts";
import type { OwnerSession } from "./ownership.ts";
import { admit, deadlineOf, statusFrame, withRemainingTime } from "./requests.ts";

/** What a connection needs of the front that it belongs to. */
export interface HypervisorHost {
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: ShimProxyLimits;
  /** The attached control plane. */
  readonly owner: OwnerSession | undefined;
  /** False when the bounds on held calls are reached. */
  reserve(bytes: number): boolean;
  unreserve(bytes: number): void;
  /** A StopVM came in: from now on it is owed. */
  stopRequested(sandboxId: string): void;
  /** An owner answered a StopVM: it is owed no more if `ok`. */
  stopAnswered(sandboxId: string, ok: boolean): void;
  /** The call is over for its shim, without an answer of an owner. */
  abandoned(call: HypervisorCall): void;
  poisoned(call: HypervisorCall): void;
  closed(connection: HypervisorConnection): void;
}

interface Upstream {
  readonly session: OwnerSession;
  readonly connection: FrameConnection;
}

/** One connection of a shim to hypervisor.sock, with one connection of its own to whichever control plane is attached. */
export class HypervisorConnection {
  readonly #host: HypervisorHost;
  readonly #shim: FrameConnection;
  readonly #calls: Map<number, HypervisorCall> = new Map();
  readonly #ids: StreamIds = new StreamIds();
  #upstream: Upstream | undefined;
  /** Set while a dial, or a pause before the next, is under way: nothing is delivered then. */
  #busy: { cancel(): void } | undefined;
  #closed = false;

  constructor(socket: Socket, host: HypervisorHost) {
    this.#host = host;
    this.#shim = new FrameConnection(
      socket,
      {
        onFrame: (frame) => this.#onRequest(frame),
        onPeerEnd: () => this.#shim.destroy(),
        onClose: () => this.#onShimClosed(),
      },
      { maxQueuedBytes: host.limits.maxQueuedBytes, clock: host.clock },
    );
  }

  /** Unanswered calls, in the order of their ids. */
  get calls(): Iterable<HypervisorCall> {
    return this.#calls.values();
  }

  /** A control plane attached. */
  ownerAttached(): void {
    void this.#deliver();
  }

  /** The control plane is gone; `died` when it did not say good-bye. */
  ownerGone(how: "released" | "died"): void {
    this.#busy?.cancel();
    this.#busy = undefined;
    const upstream = this.#upstream;
    this.#upstream = undefined;
    upstream?.connection.destroy();
    this.#takeBack(how === "died");
  }

  close(): void {
    this.#shim.destroy();
  }

  #onRequest(frame: Frame): void | Promise<void> {
    const admission = admit(frame, this.#ids);
    if (admission.kind === "ignored") return;
    if (admission.kind === "refused") return this.#reply(admission.answer);
    const { request } = admission;
    const sandboxId = sandboxIdOf(request);
    const call: HypervisorCall = {
      streamId: frame.streamId,
      method: request.method,
      sandboxId,
      data: frame.data,
      deadlineMs: deadlineOf(request, this.#host.clock),
      deaths: 0,
      everDelivered: false,
      delivered: false,
      suspect: false,
      cancelTimer: undefined,
    };
    if (isStop(call)) this.#host.stopRequested(sandboxId);
    if (
      this.#calls.size >= this.#host.limits.maxCallsPerConnection ||
      !this.#host.reserve(frame.data.length)
    ) {
      this.#host.abandoned(call);
      return this.#reply(
        statusFrame(call.streamId, Code.ResourceExhausted, "too many hypervisor calls wait; try again later"),
      );
    }
    this.#calls.set(call.streamId, call);
    this.#armTimer(call);
    return this.#deliver();
  }

  /** Answers 14 when no owner comes, 4 when the caller's time is over. */
  #armTimer(call: HypervisorCall): void {
    const { clock, limits } = this.#host;
    const remainingMs =
      call.deadlineMs === undefined ? Number.POSITIVE_INFINITY : call.deadlineMs - clock.monotonicMs();
    const byDeadline = remainingMs <= limits.holdMs;
    call.cancelTimer?.();
    call.cancelTimer = clock.schedule(Math.max(0, Math.min(remainingMs, limits.holdMs)), () => {
      if (byDeadline)
        this.#giveUp(call, Code.DeadlineExceeded, `${call.method}: no control plane took it in time`);
      else
        this.#giveUp(
          call,
          Code.Unavailable,
          `${call.method}: no control plane was attached for ${Math.round(limits.holdMs / 1000)} s; see whether cloud-api-adaptor runs on this node`,
        );
    });
  }

  /** Asks the owner all that it was not asked yet, in ascending order; the promise is its back-pressure. */
  #deliver(): void | Promise<void> {
    const { owner } = this.#host;
    if (owner === undefined || this.#busy !== undefined || this.#closed || this.#calls.size === 0) return;
    if (this.#upstream === undefined) return this.#dial(owner);
    let accepted: Promise<void> | undefined;
    const { connection } = this.#upstream;
    for (const call of this.#undelivered()) {
      if (call.deadlineMs !== undefined && call.deadlineMs <= this.#host.clock.monotonicMs()) {
        this.#giveUp(
          call,
          Code.DeadlineExceeded,
          `${call.method}: its time was over before a control plane took it`,
        );
        continue;
      }
      call.delivered = true;
      call.everDelivered = true;
      call.cancelTimer?.();
      call.cancelTimer = undefined;
      const data = withRemainingTime(call.data, call.deadlineMs, this.#host.clock);
      accepted = connection
        .send({ streamId: call.streamId, type: FrameType.Request, flags: 0, data })
        .catch(() => undefined); // The connection is over: onClose takes the call back.
    }
    return connection.hasRoom ? undefined : accepted;
  }

  #undelivered(): HypervisorCall[] {
    return [...this.#calls.values()]
      .filter((call) => !call.delivered)
      .sort((one, other) => one.streamId - other.streamId);
  }

  #dial(owner: OwnerSession): void {
    const { clock, limits, log } = this.#host;
    const socket = connect({ path: owner.frameSocket });
    this.#busy = {
      cancel() {
        socket.destroy();
      },
    };
    const busy = this.#busy;
    socket.once("error", (error) => {
      if (this.#busy !== busy) return;
      log.debug("the control plane's frame socket refuses", { error: describeError(error) });
      const cancel = clock.schedule(limits.ownerRedialMs, () => this.#proceed());
      this.#busy = { cancel };
    });
    socket.once("connect", () => {
      if (this.#busy !== busy) return;
      this.#busy = undefined;
      const upstream: Upstream = {
        session: owner,
        connection: new FrameConnection(
          socket,
          {
            onFrame: (frame) => this.#onAnswer(frame),
            onClose: (reason) => this.#onUpstreamClosed(upstream, reason),
          },
          { maxQueuedBytes: limits.maxQueuedBytes, clock },
        ),
      };
      this.#upstream = upstream;
      this.#takeBack(true);
      void this.#deliver();
    });
  }

  #proceed(): void {
    this.#busy = undefined;
    void this.#deliver();
  }

  #onAnswer(frame: Frame): void | Promise<void> {
    const call = this.#calls.get(frame.streamId);
    if (frame.type !== FrameType.Response || call === undefined || !call.delivered) return;
    this.#finish(call);
    const tooLarge = frame.oversizedBytes !== undefined;
    if (isStop(call)) this.#host.stopAnswered(call.sandboxId, !tooLarge && isOk(frame.data));
    return this.#reply(
      tooLarge ? statusFrame(call.streamId, Code.ResourceExhausted, "the answer exceeds 4 MiB") : frame,
    );
  }

  /**
   * The owner's end of the connection is gone. Whether the owner is too shows at once: its attach stream ends, or the next
   * dial succeeds, and then it was the call that broke the connection.
   */
  #onUpstreamClosed(upstream: Upstream, reason: CloseReason): void {
    if (this.#upstream !== upstream) return;
    this.#upstream = undefined;
    const delivered = [...this.#calls.values()].filter((call) => call.delivered);
    if (delivered.length === 0) return void this.#deliver();
    this.#host.log.debug("a connection to the control plane broke", { error: reason.error.message });
    for (const call of delivered) {
      call.delivered = false;
      call.suspect = true;
      this.#armTimer(call);
    }
    this.#busy = {
      cancel: this.#host.clock.schedule(this.#host.limits.ownerRedialMs, () => this.#proceed()),
    };
  }

  /** What was with the owner is not any more; when it died over them, those under which too many did are refused. */
  #takeBack(died: boolean): void {
    for (const call of [...this.#calls.values()]) {
      if (!call.delivered && !call.suspect) continue;
      call.delivered = false;
      call.suspect = false;
      // A StopVM is carried out whoever dies: it stays owed, and its caller may as well wait.
      if (died && call.method !== "StopVM") call.deaths++;
      if (call.deaths >= this.#host.limits.poisonDeaths) this.#poison(call);
      else this.#armTimer(call);
    }
  }

  #poison(call: HypervisorCall): void {
    this.#finish(call);
    this.#host.poisoned(call);
    const text = `${call.method}: the control plane died ${call.deaths} times while it worked on this call; the sandbox is undone, see its log`;
    void this.#reply(statusFrame(call.streamId, Code.Internal, text));
  }

  #giveUp(call: HypervisorCall, code: Code, message: string): void {
    this.#finish(call);
    this.#host.abandoned(call);
    void this.#reply(statusFrame(call.streamId, code, message));
  }

  #finish(call: HypervisorCall): void {
    call.cancelTimer?.();
    call.cancelTimer = undefined;
    if (this.#calls.delete(call.streamId)) this.#host.unreserve(call.data.length);
  }

  #reply(frame: OutgoingFrame): void | Promise<void> {
    const accepted = this.#shim.send(frame).catch(() => undefined); // The shim has left: nobody to tell.
    return this.#shim.hasRoom ? undefined : accepted;
  }

  #onShimClosed(): void {
    this.#closed = true;
    this.#busy?.cancel();
    this.#busy = undefined;
    for (const call of [...this.#calls.values()]) {
      this.#finish(call);
      this.#host.abandoned(call);
    }
    const upstream = this.#upstream;
    this.#upstream = undefined;
    upstream?.connection.destroy();
    this.#host.closed(this);
  }
}

/** An undecodable answer is not a yes. */
function isOk(data: Buffer): boolean {
  try {
    return (decodeResponse(data).status?.code ?? 0) === Code.Ok;
  } catch {
    return false;
  }
}
