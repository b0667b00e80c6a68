import { describeError, isCaaError, unavailable } from "../errors/index.ts";
import type { Clock, Log } from "../platform/index.ts";
import {
  type LinkTarget,
  type ProxySnapshot,
  type ProxyStats,
  ShimProxyClient,
  type ShimProxyControl,
  type ShimProxyEvent,
} from "../shim-proxy/index.ts";

/** Pause before the proxy is looked for again, milliseconds. */
const RETRY_MS = 100;
/** Pause after a proxy refused us or recovery failed, milliseconds: a person has to act. */
const RECOVERY_RETRY_MS = 2000;
/** How long one attempt to reach the proxy may take, milliseconds. */
const CONNECT_TIMEOUT_MS = 1000;

/** Whether a shim-proxy answers on its control socket now. */
export async function proxyAnswers(controlSocket: string, clock: Clock): Promise<boolean> {
  try {
    (await ShimProxyClient.connect(controlSocket, { timeoutMs: CONNECT_TIMEOUT_MS, clock })).close();
    return true;
  } catch {
    return false; // Nothing listens there, or what listens is no proxy.
  }
}

export interface ProxySessionOptions {
  readonly controlSocket: string;
  /** Where this control plane serves the hypervisor services to the proxy. */
  readonly frameSocket: string;
  readonly epoch: number;
  readonly programVersion: string;
  /** How long to look for a proxy before `onAbsent` is called (once). */
  readonly waitMs: number;
}

export interface ProxySessionHandlers {
  /** Brings journal and proxy together. Events that come meanwhile are kept until it has resolved. */
  readonly onAttached: (snapshot: ProxySnapshot, signal: AbortSignal) => Promise<void>;
  readonly onEvent: (event: ShimProxyEvent) => void;
  /** No proxy answered for `waitMs`. */
  readonly onAbsent: () => void;
}

/** Which proxy it is. */
export interface AttachedProxy {
  /** Another one than last time: it was started anew, and its shims' pods have ended. */
  readonly instanceId: string;
  readonly programVersion: string;
}

/**
 * Keeps this control plane attached to the shim-proxy, and is the proxy for the rest of it. While none is attached every
 * call is answered `unavailable`.
 */
export class ProxySession implements ShimProxyControl {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #options: ProxySessionOptions;
  #client: ShimProxyClient | undefined;
  #proxy: AttachedProxy | undefined;
  #trouble: string | undefined;

  constructor(deps: { readonly clock: Clock; readonly log: Log }, options: ProxySessionOptions) {
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#options = options;
  }

  /** The proxy that this control plane is attached to now. */
  get proxy(): AttachedProxy | undefined {
    return this.#proxy;
  }

  /** Why the last attempt failed; undefined once one has succeeded. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Attaches, and again whenever the proxy was lost, until aborted. */
  async run(handlers: ProxySessionHandlers, signal: AbortSignal): Promise<void> {
    const cancelAbsent = this.#clock.schedule(this.#options.waitMs, handlers.onAbsent);
    try {
      while (!signal.aborted) {
        try {
          await this.#attachOnce(handlers, cancelAbsent, signal);
        } catch (error) {
          if (signal.aborted) break;
          await this.#pauseAfter(error, signal);
        }
      }
    } finally {
      cancelAbsent();
    }
  }

  /** A proxy that is not there yet is no news; anything else keeps this node from being served. */
  async #pauseAfter(error: unknown, signal: AbortSignal): Promise<void> {
    const fields = { error: describeError(error) };
    this.#trouble = describeError(error);
    const isAbsent = isCaaError(error, "unavailable");
    if (isAbsent) this.#log.debug("no shim-proxy is attached", fields);
    else this.#log.error("calls are not served: attaching and recovering failed and is tried again", fields);
    await this.#clock.sleep(isAbsent ? RETRY_MS : RECOVERY_RETRY_MS, signal);
  }

  /** Resolves when an attachment that was made has ended. */
  async #attachOnce(handlers: ProxySessionHandlers, onFound: () => void, signal: AbortSignal): Promise<void> {
    const lost = Promise.withResolvers<void>();
    const client = await ShimProxyClient.connect(this.#options.controlSocket, {
      timeoutMs: CONNECT_TIMEOUT_MS,
      clock: this.#clock,
      onLost: (reason) => {
        this.#log.warn("the shim-proxy is gone; its shims' pods end with it", {
          error: describeError(reason),
        });
        lost.resolve();
      },
    });
    const onAbort = (): void => lost.resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      // An abort while connecting has fired already.
      signal.throwIfAborted();
      let early: ShimProxyEvent[] | undefined = [];
      const snapshot = await client.attach({ ...this.#options, signal }, (event) => {
        if (early === undefined) handlers.onEvent(event);
        else early.push(event);
      });
      onFound();
      if (signal.aborted) {
        // `release` found nobody to tell.
        await client.release(this.#clock.timeout(CONNECT_TIMEOUT_MS));
        return;
      }
      this.#client = client;
      this.#proxy = { instanceId: snapshot.instanceId, programVersion: snapshot.programVersion };
      this.#log.info("attached to the shim-proxy", {
        instanceId: snapshot.instanceId,
        version: snapshot.programVersion,
      });
      await this.#recover(client, () => handlers.onAttached(snapshot, signal));
      this.#trouble = undefined;
      for (const event of early) handlers.onEvent(event);
      early = undefined;
      await lost.promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
      if (!signal.aborted || this.#client !== client) this.#drop(client);
    }
  }

  /** Says good-bye when it fails: no call is to blame, and the proxy must not count it as a death under one. */
  async #recover(client: ShimProxyClient, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      await client.release(this.#clock.timeout(CONNECT_TIMEOUT_MS)).catch(() => undefined); // It may be gone itself.
      throw error;
    }
  }

  #drop(client: ShimProxyClient): void {
    if (this.#client === client) {
      this.#client = undefined;
      this.#proxy = undefined;
    }
    client.close();
  }

  /** An orderly good-bye: calls that are not answered wait for the next owner. Before the frame socket is closed. */
  async release(signal: AbortSignal): Promise<void> {
    await this.#client?.release(signal);
  }

  /** From now on this control plane works on calls. */
  async recovered(signal: AbortSignal): Promise<void> {
    await this.#client?.recovered(signal);
  }

  /** The proxy's counts; undefined while none is attached, or one that does not count. */
  async stats(signal: AbortSignal): Promise<ProxyStats | undefined> {
    return await this.#client?.stats(signal);
  }

  close(): void {
    if (this.#client !== undefined) this.#drop(this.#client);
  }

  async putSandbox(sandboxId: string, dir: string, signal?: AbortSignal): Promise<void> {
    await this.#attached().putSandbox(sandboxId, dir, signal);
  }

  async putLink(target: LinkTarget, signal?: AbortSignal): Promise<void> {
    await this.#attached().putLink(target, signal);
  }

  async failLink(sandboxId: string, reason: string, signal?: AbortSignal): Promise<void> {
    await this.#attached().failLink(sandboxId, reason, signal);
  }

  async closeSandbox(sandboxId: string, signal?: AbortSignal): Promise<void> {
    await this.#attached().closeSandbox(sandboxId, signal);
  }

  async ackStop(sandboxId: string, signal?: AbortSignal): Promise<void> {
    await this.#attached().ackStop(sandboxId, signal);
  }

  #attached(): ShimProxyClient {
    if (this.#client !== undefined) return this.#client;
    throw unavailable(
      `no shim-proxy is attached (${this.#options.controlSocket}); start "cloud-api-adaptor shim-proxy" on this node`,
    );
  }
}
