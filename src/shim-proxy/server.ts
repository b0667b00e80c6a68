// The entry of the data plane's process. The control plane's side is index.ts; neither loads the other.
import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { describeError, invalidConfig, unavailable } from "../errors/index.ts";
import type { Event } from "../gen/shimproxy/control.ts";
import type { Clock, Log } from "../platform/index.ts";
import { AgentFront } from "./agent-front.ts";
import { type ControlServer, serveControl } from "./control-server.ts";
import { Counts } from "./counts.ts";
import { HypervisorFront } from "./hypervisor-front.ts";
import { DEFAULT_LIMITS, type ShimProxyLimits } from "./limits.ts";
import { type ProcessLock, takeLock } from "./lock.ts";
import { Ownership } from "./ownership.ts";
import { PlacedSocket } from "./placed-socket.ts";
import { makeVmDialler } from "./vm-dialler.ts";

export interface ShimProxyConfig {
  /** On a file system that lives as long as the node is up. Made if it is not there. */
  readonly runDir: string;
  /** Where shims call the hypervisor. */
  readonly hypervisorSocket: string;
  /** Default `<runDir>/proxy.sock`. */
  readonly proxySocket?: string;
  /** Default `<runDir>/proxy.lock`. */
  readonly lockFile?: string;
  /** Told to control planes. */
  readonly programVersion?: string;
  readonly limits?: Partial<ShimProxyLimits>;
}

export interface ShimProxyDeps {
  readonly clock: Clock;
  readonly log: Log;
}

/** A running shim-proxy. */
export interface ShimProxy {
  /** Random; another one means that the connections of every shim are gone. */
  readonly instanceId: string;
  /** Serves on until nothing is left that needs it (no sandbox, no unanswered call, no unacknowledged stop), then closes. */
  drain(): Promise<void>;
  /** Ends at once. Shims lose their connections. */
  close(): Promise<void>;
  /** Resolves when it is closed. */
  readonly done: Promise<void>;
}

/** How often a draining proxy looks whether it may go. */
const DRAIN_POLL_MS = 200;

/**
 * Takes the lock, then places the control socket and hypervisor.sock. Throws `wrong-state` if another shim-proxy has the
 * lock, `unavailable` or `too-large` if a socket cannot be made.
 */
export async function runShimProxy(config: ShimProxyConfig, deps: ShimProxyDeps): Promise<ShimProxy> {
  const { clock, log } = deps;
  const limits = { ...DEFAULT_LIMITS, ...config.limits };
  if (!isAbsolute(config.runDir) || !isAbsolute(config.hypervisorSocket))
    throw invalidConfig(
      `the run directory ${JSON.stringify(config.runDir)} and the hypervisor socket ${JSON.stringify(config.hypervisorSocket)} must be absolute paths`,
    );
  makeFolder(config.runDir);
  makeFolder(dirname(config.hypervisorSocket));
  const lock = takeLock(config.lockFile ?? join(config.runDir, "proxy.lock"));
  const instanceId = randomUUID();
  const ownership: Ownership = new Ownership({
    onOwner: () => hypervisor.ownerAttached(),
    onOwnerGone: (_session, how) => hypervisor.ownerGone(how),
  });
  const hypervisor = new HypervisorFront({
    clock,
    log,
    limits,
    emit: (event) => ownership.emit(event),
    owner: () => ownership.current,
  });
  const counts = new Counts(clock.wallMs());
  const dial = counts.counted(makeVmDialler(clock, limits));
  const emit = (event: Event): void => {
    counts.saw(event);
    ownership.emit(event);
  };
  const agents = new AgentFront({ clock, log, limits, dial, counts, emit });
  const parts: Parts = { lock, ownership, hypervisor, agents };
  try {
    parts.control = await serveControl(config.proxySocket ?? join(config.runDir, "proxy.sock"), {
      log,
      instanceId,
      programVersion: config.programVersion ?? "",
      maxQueuedEvents: limits.maxQueuedEvents,
      ownership,
      hypervisor,
      agents,
      counts,
    });
    parts.socket = await PlacedSocket.place(config.hypervisorSocket, (socket) => hypervisor.accept(socket));
  } catch (error) {
    closeAll(parts);
    throw error;
  }
  log.info("the shim-proxy serves", { instanceId, socket: config.hypervisorSocket });
  return handleOf(instanceId, parts, deps);
}

/** As the Go adaptor does (cmd/cloud-api-adaptor): /run is empty after a boot. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (cause) {
    throw unavailable(`cannot make the folder ${path}: ${describeError(cause)}`, { cause });
  }
}

interface Parts {
  readonly lock: ProcessLock;
  readonly ownership: Ownership;
  readonly hypervisor: HypervisorFront;
  readonly agents: AgentFront;
  control?: ControlServer;
  socket?: PlacedSocket;
}

/** The name goes first, so that no new shim finds what is about to end; the lock goes last. */
function closeAll(parts: Parts): void {
  parts.socket?.remove();
  parts.ownership.close();
  parts.hypervisor.close();
  parts.agents.close();
  parts.control?.close();
  parts.lock.release();
}

function handleOf(instanceId: string, parts: Parts, { clock, log }: ShimProxyDeps): ShimProxy {
  const done = Promise.withResolvers<void>();
  let closed = false;
  const close = (): Promise<void> => {
    if (!closed) {
      closed = true;
      closeAll(parts);
      log.info("the shim-proxy has ended", { instanceId });
      done.resolve();
    }
    return done.promise;
  };
  return {
    instanceId,
    close,
    done: done.promise,
    async drain() {
      const idle = (): boolean => parts.agents.size === 0 && parts.hypervisor.idle;
      if (!idle())
        log.info("asked to end; staying until the last sandbox is closed", { sandboxes: parts.agents.size });
      while (!closed && !idle()) await clock.sleep(DRAIN_POLL_MS);
      await close();
    },
  };
}
