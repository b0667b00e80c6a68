import { describeError } from "../errors/index.ts";
import type { Clock, Exec, Log } from "../platform/index.ts";

/** Longer than systemd takes, shorter than anybody would wait. */
const NOTIFY_TIMEOUT_MS = 5000;

interface Deps {
  readonly clock: Clock;
  readonly exec: Exec;
  readonly log: Log;
}

/** Tells once that this process is ready, and when `stop` aborts that it is stopping. */
export function systemdNotifier(deps: Deps, socket: string, stop: AbortSignal): { ready(): void } {
  let told = false;
  stop.addEventListener("abort", () => void notifySystemd(deps, socket, "STOPPING"), { once: true });
  return {
    ready() {
      if (!told) void notifySystemd(deps, socket, "READY");
      told = true;
    },
  };
}

/**
 * Tells systemd that the unit is ready, or is stopping, where it wants to know (NOTIFY_SOCKET). By its own program: the socket
 * takes datagrams, and Node has none on unix sockets. Never rejects: what runs does not depend on it, and a unit of Type=notify
 * that waits in vain is ended by systemd with a message of its own.
 */
async function notifySystemd(deps: Deps, socket: string, state: "READY" | "STOPPING"): Promise<void> {
  if (socket === "") return;
  try {
    const { code, stderr } = await deps.exec.run(["systemd-notify", `${state}=1`], {
      env: { NOTIFY_SOCKET: socket },
      signal: deps.clock.timeout(NOTIFY_TIMEOUT_MS),
    });
    if (code !== 0) throw new Error(stderr.trim() || `systemd-notify ended with status ${code}`);
  } catch (error) {
    deps.log.warn(
      "systemd could not be told; a unit of Type=notify needs systemd-notify and NotifyAccess=all, or use Type=exec",
      { step: state, error: describeError(error) },
    );
  }
}
