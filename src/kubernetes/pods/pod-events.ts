import { createHash } from "node:crypto";
import { describeError, isCaaError } from "../../errors/index.ts";
import type { Clock, Log } from "../../platform/index.ts";
import { type ClusterClient, EVENTS, PODS } from "../client/index.ts";

/** The pod that an Event is about. */
export interface EventPod {
  readonly namespace: string;
  readonly name: string;
  /** "": the Pod that has the name now. */
  readonly uid: string;
}

/** What `kubectl describe pod` shows. */
export interface PodEvent {
  readonly pod: EventPod;
  readonly type: "Normal" | "Warning";
  /** CamelCase, for machines: PeerPodQuotaExceeded. */
  readonly reason: string;
  /** What was being done, CamelCase: CreatePodVM. */
  readonly action: string;
  /** For people; cut at 1024 bytes, the API's limit. */
  readonly note: string;
}

export interface PodEventsDeps {
  readonly client: ClusterClient;
  readonly clock: Clock;
  readonly log: Log;
}

const CONTROLLER = "confidentialcontainers.org/cloud-api-adaptor";
const MAX_NOTE_BYTES = 1024;
/** The API's limit on a reporting instance's name. */
const MAX_INSTANCE_CHARS = 128;
/** The same again within this time counts up the event that is there. */
const SERIES_MS = 10 * 60_000;
/** Waiting events; more are dropped, the oldest first, and counted. */
const MAX_WAITING = 200;
/** How old an event may get while the API server cannot be reached. */
const MAX_AGE_MS = 15 * 60_000;
const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 30_000;

interface Recorded extends PodEvent {
  readonly atMs: number;
}

interface Series {
  readonly name: string;
  count: number;
  lastMs: number;
}

/**
 * Events on Pods (events.k8s.io/v1), sent one after another beside everything else: `record` never waits and never throws. The same
 * reason and text for a pod is one Event with a count. While the API server cannot be reached they wait, some minutes at most.
 */
export class PodEvents {
  readonly #deps: PodEventsDeps;
  readonly #instance: string;
  readonly #waiting: Recorded[] = [];
  readonly #series = new Map<string, Series>();
  #dropped = 0;
  #wake: () => void = () => undefined;
  #trouble = "";

  /** `nodeName` says which adaptor reports. */
  constructor(deps: PodEventsDeps, nodeName: string) {
    this.#deps = deps;
    this.#instance = nodeName.slice(0, MAX_INSTANCE_CHARS);
  }

  record(event: PodEvent): void {
    if (this.#waiting.length >= MAX_WAITING) {
      this.#waiting.shift();
      this.#dropped++;
    }
    this.#waiting.push({ ...event, atMs: this.#deps.clock.wallMs() });
    this.#wake();
  }

  /** Sends until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    while (!signal.aborted) {
      const event = this.#waiting.shift();
      if (event !== undefined) await this.#deliver(event, signal);
      else await this.#untilRecorded(signal);
    }
  }

  async #untilRecorded(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    if (this.#waiting.length === 0 && !signal.aborted) await promise;
  }

  /** Nothing overtakes an event that cannot be sent: the others go to the same API server. */
  async #deliver(event: Recorded, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)) {
      try {
        await this.#send(event, signal);
        this.#works();
        return;
      } catch (error) {
        if (signal.aborted) return;
        const isOld = clock.wallMs() - event.atMs > MAX_AGE_MS;
        if (isOld || !isCaaError(error, "unavailable", "throttled")) {
          this.#failed(event, error);
          return;
        }
        await clock.sleep(Math.max(error.retryAfterMs ?? 0, pauseMs), signal).catch(() => undefined);
      }
    }
  }

  async #send(event: Recorded, signal: AbortSignal): Promise<void> {
    const note = cutNote(event.note);
    const key = keyOf({ ...event, note });
    this.#forgetOld(event.atMs);
    const series = this.#series.get(key);
    if (series !== undefined && (await this.#countUp(event, series, signal))) return;
    const uid = event.pod.uid === "" ? await this.#presentUid(event.pod, signal) : event.pod.uid;
    if (uid === undefined) return;
    const name = eventName(event.pod.name, `${key} ${event.atMs}`);
    await this.#create({ ...event, note, pod: { ...event.pod, uid } }, name, signal);
    this.#series.set(key, { name, count: 1, lastMs: event.atMs });
  }

  async #create(event: Recorded, name: string, signal: AbortSignal): Promise<void> {
    const { pod, type, reason, action, note } = event;
    try {
      await this.#deps.client.create(
        EVENTS,
        {
          metadata: { name, namespace: pod.namespace },
          eventTime: microTime(event.atMs),
          reportingController: CONTROLLER,
          reportingInstance: this.#instance,
          regarding: {
            apiVersion: "v1",
            kind: "Pod",
            namespace: pod.namespace,
            name: pod.name,
            uid: pod.uid,
          },
          ...{ type, reason, action, note },
        },
        signal,
      );
    } catch (error) {
      // The answer to an earlier try was lost.
      if (!isCaaError(error, "already-exists")) throw error;
    }
  }

  /** False when the Event has expired. */
  async #countUp(event: Recorded, series: Series, signal: AbortSignal): Promise<boolean> {
    const ref = { name: series.name, namespace: event.pod.namespace };
    const value = { series: { count: series.count + 1, lastObservedTime: microTime(event.atMs) } };
    try {
      await this.#deps.client.patch(EVENTS, ref, { type: "merge", value }, signal);
    } catch (error) {
      if (isCaaError(error, "not-found")) return false;
      throw error;
    }
    series.count++;
    series.lastMs = event.atMs;
    return true;
  }

  /** Without a UID the Event would not be shown with its Pod. */
  async #presentUid(pod: EventPod, signal: AbortSignal): Promise<string | undefined> {
    return (await this.#deps.client.find(PODS, pod, signal))?.metadata.uid;
  }

  #forgetOld(nowMs: number): void {
    for (const [key, { lastMs }] of this.#series) if (nowMs - lastMs > SERIES_MS) this.#series.delete(key);
  }

  #failed(event: PodEvent, error: unknown): void {
    // A namespace that is being deleted takes no Events, and nobody would read them.
    if (isCaaError(error, "not-found") || describeError(error).includes("being terminated")) return;
    // Not by its text, which names the one Event.
    const trouble = isCaaError(error) ? error.kind : "bug";
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#deps.log.warn("an Event on a pod could not be written", {
      pod: `${event.pod.namespace}/${event.pod.name}`,
      reason: event.reason,
      error: describeError(error),
    });
  }

  #works(): void {
    this.#trouble = "";
    if (this.#dropped === 0) return;
    this.#deps.log.warn("Events on pods were left out because too many waited", { count: this.#dropped });
    this.#dropped = 0;
  }
}

const keyOf = ({ pod, reason, note }: PodEvent): string =>
  [pod.namespace, pod.name, pod.uid, reason, note].join("\n");

/** `<pod>.<hash>`, as other components name theirs; at most 253 characters. */
function eventName(podName: string, key: string): string {
  const hash = createHash("sha256").update(key).digest("hex").slice(0, 16);
  return `${podName.slice(0, 236)}.${hash}`;
}

/** At most so many bytes, without a broken character at the end. */
function cutNote(note: string): string {
  if (Buffer.byteLength(note) <= MAX_NOTE_BYTES) return note;
  const bytes = Buffer.from(note).subarray(0, MAX_NOTE_BYTES - 3);
  return `${bytes.toString("utf8").replace(/\uFFFD$/u, "")}…`;
}

/** meta/v1 MicroTime. */
const microTime = (ms: number): string => new Date(ms).toISOString().replace("Z", "000Z");
