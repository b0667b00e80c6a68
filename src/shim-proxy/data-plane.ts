import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { Event } from "../gen/shimproxy/control.ts";
import { AgentFront } from "./agent-front.ts";
import { type ControlServer, serveControl } from "./control-server.ts";
import { Counts } from "./counts.ts";
import { makeFrameMemory } from "./frame-memory.ts";
import { HypervisorFront } from "./hypervisor-front.ts";
import { DEFAULT_LIMITS } from "./limits.ts";
import type { ProcessLock } from "./lock.ts";
import { Ownership } from "./ownership.ts";
import type { PlacedSocket } from "./placed-socket.ts";
import type { ShimProxy, ShimProxyConfig, ShimProxyDeps } from "./proxy-config.ts";
import { makeVmDialler } from "./vm-dialler.ts";
import type { WaitingRoom } from "./waiting-room.ts";

/** What is there when this is loaded. */
export interface Entrance {
  readonly lock: ProcessLock;
  readonly room: WaitingRoom;
  readonly socket: PlacedSocket;
}

/** How often a draining proxy looks whether it may go. */
const DRAIN_POLL_MS = 200;

/** Places the control socket and serves the shims. When it throws, the entrance is the caller's to close. */
export async function serveShims(
  config: ShimProxyConfig,
  deps: ShimProxyDeps,
  entrance: Entrance,
): Promise<ShimProxy> {
  const { clock, log } = deps;
  const limits = { ...DEFAULT_LIMITS, ...config.limits };
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
  const memory = makeFrameMemory(clock);
  const dial = counts.counted(makeVmDialler(clock, limits, memory));
  const emit = (event: Event): void => {
    counts.saw(event);
    ownership.emit(event);
  };
  const agents = new AgentFront({ clock, log, limits, memory, dial, counts, emit });
  const control = await serveControl(config.proxySocket ?? join(config.runDir, "proxy.sock"), {
    log,
    instanceId,
    programVersion: config.programVersion ?? "",
    maxQueuedEvents: limits.maxQueuedEvents,
    ownership,
    hypervisor,
    agents,
    counts,
  });
  entrance.room.open((socket) => hypervisor.accept(socket));
  log.info("the shim-proxy serves", { instanceId, socket: config.hypervisorSocket });
  return handleOf(instanceId, { ...entrance, ownership, hypervisor, agents, control }, deps);
}

interface Parts extends Entrance {
  readonly ownership: Ownership;
  readonly hypervisor: HypervisorFront;
  readonly agents: AgentFront;
  readonly control: ControlServer;
}

/** The name goes first, so that no new shim finds what is about to end; the lock goes last. */
function closeAll(parts: Parts): void {
  parts.socket.remove();
  parts.ownership.close();
  parts.hypervisor.close();
  parts.agents.close();
  parts.control.close();
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
