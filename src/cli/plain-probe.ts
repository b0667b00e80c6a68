import { adminSocketPath } from "./admin-socket.ts";
import { runProbe } from "./probe.ts";

interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  out(text: string): void;
}

/**
 * `probe WHAT` without flags, as a pod's probes are written: the kubelet starts it every few seconds, so that neither options nor
 * commands are loaded for it. Undefined when it is anything else.
 */
export async function plainProbe(args: readonly string[], terminal: Terminal): Promise<number | undefined> {
  const [command, what = "", ...more] = args;
  if (command !== "probe" || !/^[a-z]+$/.test(what) || more.length > 0) return undefined;
  const { env } = terminal;
  const socketPath = adminSocketPath({
    adminSocket: env["PEERPODS_ADMIN_SOCKET"] ?? "",
    runDir: env["PEERPODS_RUN_DIR"] ?? "",
    hypervisorSocket: env["REMOTE_HYPERVISOR_ENDPOINT"] ?? "",
  });
  return await runProbe(socketPath, what, (text) => terminal.out(text));
}
