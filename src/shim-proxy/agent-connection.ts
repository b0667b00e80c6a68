import type { Socket } from "node:net";
import { Code } from "../errors/index.ts";
import type { Clock } from "../platform/index.ts";
import {
  encodeRequest,
  type Frame,
  FrameConnection,
  type OutgoingFrame,
  type RequestEnvelope,
  StreamIds,
} from "../ttrpc/index.ts";
import { type AgentCall, type Loss, SERVING, translateAnswer } from "./agent-calls.ts";
import { describeProcess, kindOf, mayBeAskedAgain } from "./agent-methods.ts";
import type { VmVolume } from "./control-types.ts";
import type { Counts } from "./counts.ts";
import { rewriteCreateContainer } from "./create-container.ts";
import { withDirectReads } from "./direct-accept.ts";
import type { FrameMemory } from "./frame-memory.ts";
import type { HeldLink, LinkUser } from "./held-link.ts";
import type { ShimProxyLimits } from "./limits.ts";
import { admit, deadlineOf, okFrame, statusFrame, withRemainingTime } from "./requests.ts";

/** What a shim's connection needs of its sandbox. */
export interface AgentHost {
  readonly clock: Clock;
  readonly limits: ShimProxyLimits;
  readonly memory: FrameMemory;
  readonly counts: Pick<Counts, "agentCalls">;
  volumes(): readonly VmVolume[];
  /** Whether the link has been up: from then on calls wait for a bounded time only. */
  linked(): boolean;
  /** Whether the agent has ever answered: from then on the proxy may answer a Check in its stead. */
  agentKnown(): boolean;
  /** Whether GetOOMEvent may be asked now though an earlier one may still pend inside the VM. */
  oomAllowed(): boolean;
  /** A GetOOMEvent was asked and will not be heard of again. */
  oomAbandoned(): void;
  /** A link of its own for this connection, or undefined while there is no VM to dial. */
  takeLink(): HeldLink | undefined;
  lost(loss: Loss): void;
  /** Something of the pod's was passed over. */
  warn(text: string): void;
  closed(connection: AgentConnection): void;
}

/** One connection of a shim to agent.ttrpc: its calls, and their fate when the link breaks. */
export class AgentConnection implements LinkUser {
  readonly #host: AgentHost;
  readonly #shim: FrameConnection;
  readonly #calls: Map<number, AgentCall> = new Map();
  readonly #sent: Map<number, AgentCall> = new Map();
  readonly #ids: StreamIds = new StreamIds();
  #link: HeldLink | undefined;
  /** Bytes of calls that wait for the link, and who waits for them to become fewer. */
  #heldBytes = 0;
  #room: PromiseWithResolvers<void> | undefined;

  /** In the turn in which the connection was accepted. */
  constructor(accepted: Socket, host: AgentHost) {
    const { clock, limits, memory } = host;
    const { socket, reads } = withDirectReads(accepted, memory.newReads());
    this.#host = host;
    this.#shim = new FrameConnection(
      socket,
      {
        onFrame: (frame) => this.#onRequest(frame),
        onPeerEnd: () => this.#shim.destroy(),
        onClose: () => this.#onShimClosed(),
      },
      { maxQueuedBytes: limits.maxQueuedBytes, clock, buffers: memory.buffers, reads },
    );
  }

  /** Whether it has asked for something and has no link: a connection that stays silent needs none. */
  get wantsLink(): boolean {
    return this.#link === undefined && this.#calls.size > 0;
  }

  /** There is a VM to dial now. */
  useLink(link: HeldLink): void {
    this.#link = link;
    link.adopt(this);
  }

  /** The link was replaced or given up; the next comes by `useLink`. */
  loseLink(reason: string): void {
    this.#link = undefined;
    this.onDown(reason);
  }

  close(): void {
    this.#shim.destroy();
  }

  /** Asks what was not asked, or not answered, in ascending order. */
  onUp(): void {
    for (const call of [...this.#calls.values()]) {
      if (call.sentAs !== undefined) continue;
      if (call.deadlineMs !== undefined && call.deadlineMs <= this.#host.clock.monotonicMs()) {
        void this.#answer(call, statusFrame(call.streamId, Code.DeadlineExceeded, OUT_OF_TIME));
      } else if (call.kind !== "oom" || this.#host.oomAllowed()) {
        void this.#ask(call);
      }
    }
  }

  onDown(reason: string): void {
    this.#sent.clear();
    for (const call of [...this.#calls.values()]) {
      if (call.waiting !== undefined) this.#unsend(call);
      if (call.sentAs !== undefined) this.#takeBack(call, reason);
      else this.#hold(call);
    }
  }

  onAnswer(id: number, frame: Frame): void | Promise<void> {
    const call = this.#sent.get(id);
    if (call === undefined) return;
    this.#sent.delete(id);
    const { answer, loss } = translateAnswer(call, frame);
    if (loss !== undefined) this.#host.lost(loss);
    return this.#answer(call, answer);
  }

  #onRequest(frame: Frame): void | Promise<void> {
    const admission = admit(frame, this.#ids);
    if (admission.kind === "ignored") return;
    if (admission.kind === "refused") return this.#reply(admission.answer);
    if (this.#calls.size >= this.#host.limits.maxCallsPerConnection) {
      return this.#reply(
        statusFrame(
          frame.streamId,
          Code.ResourceExhausted,
          "too many calls of this connection are unanswered",
        ),
      );
    }
    const call = this.#newCall(frame, admission.request);
    this.#calls.set(call.streamId, call);
    this.#host.counts.agentCalls++;
    if (this.#link === undefined) {
      const link = this.#host.takeLink();
      if (link !== undefined) this.useLink(link); // It may be up, and then has sent the call already.
      if (call.sentAs !== undefined || !this.#calls.has(call.streamId)) return call.waiting;
    }
    if (this.#link?.isUp === true && (call.kind !== "oom" || this.#host.oomAllowed())) return this.#ask(call);
    this.#hold(call);
    return this.#heldRoom();
  }

  #newCall(frame: Frame, request: RequestEnvelope): AgentCall {
    const kind = kindOf(request);
    const rewritten =
      kind === "create-container"
        ? rewriteCreateContainer(request.payload, this.#host.volumes(), (text) => this.#host.warn(text))
        : undefined;
    const data = rewritten === undefined ? frame.data : encodeRequest({ ...request, payload: rewritten });
    const keep = mayBeAskedAgain(kind) && data.length <= this.#host.limits.maxKeptBytes;
    return {
      streamId: frame.streamId,
      kind,
      method: request.method,
      deadlineMs: deadlineOf(request, this.#host.clock),
      keep,
      data,
      // What may be asked again stays ours.
      framed: keep || rewritten !== undefined ? undefined : frame.framed,
      sentAs: undefined,
      waiting: undefined,
      asked: 0,
      heldBytes: 0,
      cancelTimer: undefined,
    };
  }

  /** Writes a call to the link; the promise is the link's back-pressure. */
  #ask(call: AgentCall): void | Promise<void> {
    const { data } = call;
    const late = call.asked > 0 || call.heldBytes > 0;
    if (data === undefined) return;
    const request = late
      ? { data: withRemainingTime(data, call.deadlineMs, this.#host.clock) }
      : { data, framed: call.framed };
    const sent = this.#link?.send(request, call.kind === "check");
    if (sent === undefined) return this.#hold(call);
    this.#release(call);
    call.asked++;
    call.sentAs = sent.id;
    this.#sent.set(sent.id, call);
    if (sent.waiting === undefined) return this.#written(call);
    const waiting = sent.waiting.then(
      () => {
        if (call.waiting === waiting) this.#written(call);
      },
      () => {
        if (call.waiting === waiting) this.#unsend(call);
      },
    );
    call.waiting = waiting;
    return waiting;
  }

  /** The link's queue has handed it on. */
  #written(call: AgentCall): void {
    call.waiting = undefined;
    if (call.keep) return;
    call.data = undefined;
    call.framed = undefined;
  }

  /** The link broke while the call was in its queue: it waits like one that was never sent. */
  #unsend(call: AgentCall): void {
    call.waiting = undefined;
    call.asked--;
    call.sentAs = undefined;
  }

  /** The link broke after the call was written. */
  #takeBack(call: AgentCall, reason: string): void {
    call.sentAs = undefined;
    if (!call.keep || call.data === undefined) {
      this.#host.lost({
        kind: "call",
        detail: `${call.method} was under way when the link broke: ${reason}`,
      });
      const text = `${call.method}: the connection to the pod VM broke (${reason}); whether the call took effect is not known`;
      void this.#answer(call, statusFrame(call.streamId, Code.Unavailable, text));
      return;
    }
    if (call.kind === "oom") this.#host.oomAbandoned();
    if (call.kind === "read")
      this.#host.lost({ kind: "output-chunk", detail: `up to one answer of ${describeProcess(call.data)}` });
    this.#hold(call);
  }

  /** Keeps an unwritten call until the link is up, and what is not to wait so long for its time only. */
  #hold(call: AgentCall): void {
    const { clock, limits } = this.#host;
    if (call.heldBytes === 0) {
      call.heldBytes = call.data?.length ?? 0;
      this.#heldBytes += call.heldBytes;
    }
    if (call.cancelTimer !== undefined) return;
    const nowMs = clock.monotonicMs();
    const leftMs = call.deadlineMs === undefined ? Number.POSITIVE_INFINITY : call.deadlineMs - nowMs;
    if (call.kind === "check" && this.#host.agentKnown()) {
      this.#after(call, Math.min(limits.unwrittenHoldMs, leftMs / 2), () => okFrame(call.streamId, SERVING));
    } else if (!mayBeAskedAgain(call.kind) && this.#host.linked() && limits.unwrittenHoldMs <= leftMs) {
      this.#after(call, limits.unwrittenHoldMs, () => {
        this.#host.lost({ kind: "call", detail: `${call.method} came while the link was down` });
        const text = `${call.method}: the pod VM cannot be reached now; the call was not made`;
        return statusFrame(call.streamId, Code.Unavailable, text);
      });
    } else if (leftMs < Number.POSITIVE_INFINITY) {
      this.#after(call, leftMs, () => statusFrame(call.streamId, Code.DeadlineExceeded, OUT_OF_TIME));
    }
  }

  #after(call: AgentCall, ms: number, answer: () => OutgoingFrame): void {
    call.cancelTimer = this.#host.clock.schedule(Math.max(0, ms), () => void this.#answer(call, answer()));
  }

  /** It waits no more. */
  #release(call: AgentCall): void {
    call.cancelTimer?.();
    call.cancelTimer = undefined;
    this.#heldBytes -= call.heldBytes;
    call.heldBytes = 0;
    if (this.#heldBytes < this.#host.limits.maxHeldBytes) {
      this.#room?.resolve();
      this.#room = undefined;
    }
  }

  /** While a lot waits, the shim is not read from. */
  #heldRoom(): void | Promise<void> {
    if (this.#heldBytes < this.#host.limits.maxHeldBytes) return;
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  #answer(call: AgentCall, answer: OutgoingFrame): void | Promise<void> {
    this.#release(call);
    if (this.#calls.delete(call.streamId)) this.#host.counts.agentCalls--;
    return this.#reply(answer);
  }

  #reply(frame: OutgoingFrame): void | Promise<void> {
    if (this.#shim.offer(frame)) return;
    return this.#shim.send(frame).catch(() => undefined); // The shim has left: nobody to tell.
  }

  #onShimClosed(): void {
    for (const call of this.#calls.values()) call.cancelTimer?.();
    this.#host.counts.agentCalls -= this.#calls.size;
    this.#calls.clear();
    this.#sent.clear();
    this.#room?.resolve();
    this.#link?.close();
    this.#host.closed(this);
  }

  /** The link in use, for the sandbox's books. */
  get link(): HeldLink | undefined {
    return this.#link;
  }
}

const OUT_OF_TIME = "the caller's time was over before the pod VM could be reached";
