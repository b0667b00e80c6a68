import { type ClientReadableStream, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import {
  CaaError,
  cancelled,
  deadlineExceeded,
  describeError,
  type ErrorKind,
  isCaaError,
  unavailable,
  wrongState,
} from "../errors/index.ts";
import {
  type Event,
  type SandboxState,
  type StatsResponse,
  ShimProxyClient as WireClient,
} from "../gen/shimproxy/control.ts";
import { type Clock, systemClock } from "../platform/index.ts";
import {
  API_VERSIONS,
  type AttachOptions,
  type HeldHypervisorCall,
  type LinkTarget,
  type OwedStopNotice,
  type ProxyCall,
  type ProxySandbox,
  type ProxySnapshot,
  type ShimProxyControl,
  type ShimProxyEvent,
} from "./control-types.ts";
import { encodePutLink } from "./encode-put-link.ts";
import { decodeStats, type ProxyStats } from "./proxy-stats.ts";
import { decodeLinkState, decodeStopReason } from "./wire-names.ts";

/** How long a call other than PutLink may take before the proxy counts as hung, milliseconds. */
const CALL_TIMEOUT_MS = 30_000;
/** How much longer than its own limit PutLink may take, milliseconds. */
const PUT_LINK_GRACE_MS = 10_000;
/** A scrape of the metrics does not wait longer than this, milliseconds. */
const STATS_TIMEOUT_MS = 2000;
/** Default for `connect`, milliseconds. */
const CONNECT_TIMEOUT_MS = 5_000;

export interface ConnectOptions {
  /** How long to wait for the proxy to answer; default 5 s. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
  /** Called once when the attach stream ends for another reason than `release` or `close`: the proxy died, or another owner took over. */
  readonly onLost?: (reason: CaaError) => void;
}

/** Kinds by gRPC status. */
const KIND_OF_STATUS: Readonly<Record<number, ErrorKind>> = {
  1: "cancelled",
  3: "invalid-request",
  4: "deadline",
  5: "not-found",
  6: "already-exists",
  7: "unauthorised",
  8: "too-large",
  9: "wrong-state",
  10: "wrong-state",
  12: "unsupported",
  14: "unavailable",
  16: "unauthorised",
};

/** What the proxy or the channel to it said, as one of our errors. */
function fromServiceError(what: string, error: ServiceError): CaaError {
  const kind = KIND_OF_STATUS[error.code] ?? "internal";
  return new CaaError(kind, `${what}: ${error.details === "" ? error.message : error.details}`, {
    cause: error,
  });
}

/** What a call gives; undefined when the proxy is older than the call. */
async function ifKnown<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (!isCaaError(error, "unsupported")) throw error;
    return undefined;
  }
}

type Answer<T> = (error: ServiceError | null, response: T) => void;
type Start<T> = (deadlineMs: number, answer: Answer<T>) => { cancel(): void };

interface SnapshotParts {
  instanceId: string;
  apiVersion: number;
  programVersion: string;
  sandboxes: ProxySandbox[];
  heldCalls: HeldHypervisorCall[];
  callersLeft: ProxyCall[];
  owedStops: OwedStopNotice[];
}

const emptySnapshot = (): SnapshotParts => ({
  instanceId: "",
  apiVersion: 0,
  programVersion: "",
  sandboxes: [],
  heldCalls: [],
  callersLeft: [],
  owedStops: [],
});

const decodeSandbox = (state: SandboxState): ProxySandbox => ({
  id: state.id,
  dir: state.dir,
  connections: { open: state.connections?.open ?? 0, ever: state.connections?.ever ?? false },
  ...(state.hasLink && state.link !== undefined
    ? {
        link: {
          state: decodeLinkState(state.link.state),
          reason: state.link.reason,
          breaks: state.link.breaks,
        },
      }
    : {}),
});

/** Adds a snapshot event; true at its end. An event that we do not know (a newer proxy's) is skipped. */
function collect(event: Event, into: SnapshotParts): boolean {
  if (event.attached !== undefined) {
    into.instanceId = event.attached.instanceId;
    into.apiVersion = event.attached.apiVersion;
    into.programVersion = event.attached.programVersion;
  } else if (event.sandbox !== undefined) into.sandboxes.push(decodeSandbox(event.sandbox));
  else if (event.heldCall !== undefined) into.heldCalls.push({ ...event.heldCall });
  else if (event.callerLeft !== undefined) into.callersLeft.push({ ...event.callerLeft });
  else if (event.owedStop !== undefined)
    into.owedStops.push({
      sandboxId: event.owedStop.sandboxId,
      reason: decodeStopReason(event.owedStop.reason),
    });
  return event.snapshotEnd !== undefined;
}

/** An event after the snapshot, or undefined for one that we do not know. */
function decodeEvent(event: Event): ShimProxyEvent | undefined {
  if (event.callerLeft !== undefined) return { kind: "caller-left", ...event.callerLeft };
  if (event.owedStop !== undefined) {
    const { sandboxId, reason } = event.owedStop;
    return { kind: "owed-stop", sandboxId, reason: decodeStopReason(reason) };
  }
  if (event.shimConnections !== undefined) return { kind: "shim-connections", ...event.shimConnections };
  if (event.link !== undefined) {
    const { sandboxId, state, reason, breaks } = event.link;
    return { kind: "link", sandboxId, state: decodeLinkState(state), reason, breaks };
  }
  if (event.loss !== undefined) {
    return {
      kind: "loss",
      sandboxId: event.loss.sandboxId,
      loss: event.loss.kind,
      detail: event.loss.detail,
    };
  }
  return undefined;
}

const proxyEnded = (cause?: unknown): CaaError =>
  unavailable("the shim-proxy ended the attach stream", { cause });

/** The control plane's end of the control API. One object is one attach at most; after `onLost` make a new one. */
export class ShimProxyClient implements ShimProxyControl {
  readonly #wire: WireClient;
  readonly #clock: Clock;
  readonly #onLost: (reason: CaaError) => void;
  #epoch: bigint | undefined;
  #stream: ClientReadableStream<Event> | undefined;
  #ending = false;

  private constructor(wire: WireClient, options: ConnectOptions) {
    this.#wire = wire;
    this.#clock = options.clock ?? systemClock;
    this.#onLost = options.onLost ?? (() => undefined);
  }

  /** Connects to a proxy's control socket. `unavailable` when none answers in time. */
  static async connect(controlSocket: string, options: ConnectOptions = {}): Promise<ShimProxyClient> {
    const wire = new WireClient(`unix:${controlSocket}`, credentials.createInsecure(), {
      "grpc.enable_retries": 0,
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.min_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 500,
      "grpc.use_local_subchannel_pool": 1,
    });
    const client = new ShimProxyClient(wire, options);
    const timeoutMs = options.timeoutMs ?? CONNECT_TIMEOUT_MS;
    await new Promise<void>((resolve, reject) => {
      wire.waitForReady(client.#clock.wallMs() + timeoutMs, (error) => {
        if (error === undefined) return resolve();
        wire.close();
        reject(
          unavailable(
            `no shim-proxy answers on ${controlSocket} within ${timeoutMs} ms; is \`cloud-api-adaptor shim-proxy\` running?`,
            { cause: error },
          ),
        );
      });
    });
    return client;
  }

  /**
   * Becomes the owner; resolves with all that the proxy holds, and from then on calls `onEvent`. `wrong-state` when a
   * higher epoch was seen, `unsupported` when no API version is common.
   */
  attach(options: AttachOptions, onEvent: (event: ShimProxyEvent) => void): Promise<ProxySnapshot> {
    if (this.#stream !== undefined) return Promise.reject(wrongState("this client has attached already"));
    const epoch = BigInt(options.epoch);
    const stream = this.#wire.attach({
      epoch,
      apiVersions: [...API_VERSIONS],
      frameSocket: options.frameSocket,
      programVersion: options.programVersion,
    });
    this.#stream = stream;
    const snapshot = emptySnapshot();
    let attached = false;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => stream.cancel();
      options.signal?.addEventListener("abort", onAbort, { once: true });
      const ended = (reason: CaaError): void => {
        options.signal?.removeEventListener("abort", onAbort);
        if (!attached) reject(reason);
        else if (!this.#ending) {
          this.#ending = true;
          this.#onLost(reason);
        }
      };
      stream.on("data", (event: Event) => {
        if (attached) {
          const decoded = decodeEvent(event);
          if (decoded !== undefined) onEvent(decoded);
        } else if (collect(event, snapshot)) {
          attached = true;
          options.signal?.removeEventListener("abort", onAbort);
          this.#epoch = epoch;
          resolve(snapshot);
        }
      });
      // An error is always followed by no "end"; an orderly end comes without an error.
      stream.on("error", (error: ServiceError) => {
        // A proxy that ends resets its streams, which looks as if we had cancelled.
        const reset = error.code === status.CANCELLED && options.signal?.aborted !== true;
        ended(reset ? proxyEnded(error) : fromServiceError("attach to the shim-proxy", error));
      });
      stream.on("end", () => ended(proxyEnded()));
    });
  }

  async putSandbox(sandboxId: string, dir: string, signal?: AbortSignal): Promise<void> {
    const epoch = this.#owned();
    await this.#call(
      `place the agent socket of sandbox ${sandboxId}`,
      CALL_TIMEOUT_MS,
      (deadline, answer) =>
        this.#wire.putSandbox({ epoch, id: sandboxId, dir }, new Metadata(), { deadline }, answer),
      signal,
    );
  }

  async putLink(link: LinkTarget, signal?: AbortSignal): Promise<void> {
    const request = encodePutLink(link, this.#owned());
    try {
      await this.#call(
        `link sandbox ${link.id}`,
        link.timeoutMs + PUT_LINK_GRACE_MS,
        (deadline, answer) => this.#wire.putLink(request, new Metadata(), { deadline }, answer),
        signal,
      );
    } finally {
      request.tls?.clientKeyPem.fill(0);
    }
  }

  async failLink(sandboxId: string, reason: string, signal?: AbortSignal): Promise<void> {
    const epoch = this.#owned();
    await this.#call(
      `give up the link of sandbox ${sandboxId}`,
      CALL_TIMEOUT_MS,
      (deadline, answer) =>
        this.#wire.failLink({ epoch, id: sandboxId, reason }, new Metadata(), { deadline }, answer),
      signal,
    );
  }

  async closeSandbox(sandboxId: string, signal?: AbortSignal): Promise<void> {
    const epoch = this.#owned();
    await this.#call(
      `close sandbox ${sandboxId}`,
      CALL_TIMEOUT_MS,
      (deadline, answer) =>
        this.#wire.closeSandbox({ epoch, id: sandboxId }, new Metadata(), { deadline }, answer),
      signal,
    );
  }

  async ackStop(sandboxId: string, signal?: AbortSignal): Promise<void> {
    const epoch = this.#owned();
    await this.#call(
      `acknowledge the stop of sandbox ${sandboxId}`,
      CALL_TIMEOUT_MS,
      (deadline, answer) => this.#wire.ackStop({ epoch, sandboxId }, new Metadata(), { deadline }, answer),
      signal,
    );
  }

  /**
   * This owner has recovered and works on calls from now on; what it dies over after this counts as died-under. A proxy that
   * does not know the call is content without it.
   */
  async recovered(signal?: AbortSignal): Promise<void> {
    const epoch = this.#owned();
    await ifKnown(
      this.#call(
        "tell the shim-proxy of the recovery",
        CALL_TIMEOUT_MS,
        (deadline, answer) => this.#wire.recovered({ epoch }, new Metadata(), { deadline }, answer),
        signal,
      ),
    );
  }

  /** Undefined for a proxy of the first release, which does not count. */
  async stats(signal?: AbortSignal): Promise<ProxyStats | undefined> {
    const start: Start<StatsResponse> = (deadline, answer) =>
      this.#wire.stats({}, new Metadata(), { deadline }, answer);
    const what = "ask the shim-proxy for its counts";
    const counts = await ifKnown(this.#call(what, STATS_TIMEOUT_MS, start, signal));
    return counts && decodeStats(counts);
  }

  /** An orderly good-bye. Call it before the frame socket closes: calls that are unanswered then go to the next owner and do not count as died-under. */
  async release(signal?: AbortSignal): Promise<void> {
    const epoch = this.#owned();
    this.#ending = true;
    await this.#call(
      "release the shim-proxy",
      CALL_TIMEOUT_MS,
      (deadline, answer) => this.#wire.release({ epoch }, new Metadata(), { deadline }, answer),
      signal,
    );
  }

  /** Lets go of the connection. Without `release` before, the proxy counts it as a death. */
  close(): void {
    this.#ending = true;
    this.#stream?.cancel();
    this.#wire.close();
  }

  #owned(): bigint {
    if (this.#epoch === undefined) throw wrongState("attach to the shim-proxy before any other call");
    return this.#epoch;
  }

  async #call<T>(what: string, timeoutMs: number, start: Start<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted === true) throw cancelled(`${what}: ${describeError(signal.reason)}`);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const call = start(this.#clock.wallMs() + timeoutMs, (error, response) => {
      if (error === null) return resolve(response);
      if (signal?.aborted === true) return reject(cancelled(`${what}: ${describeError(signal.reason)}`));
      if (error.code === status.DEADLINE_EXCEEDED && error.details.startsWith("Deadline exceeded")) {
        return reject(deadlineExceeded(`${what}: the shim-proxy gave no answer within ${timeoutMs} ms`));
      }
      reject(fromServiceError(what, error));
    });
    const onAbort = (): void => call.cancel();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await promise;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }
}
