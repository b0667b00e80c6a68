import type { Clock } from "../../src/platform/index.ts";
import type { CloudCall, CloudCallOutcome } from "../contract.ts";
import { timedCall } from "../retry/index.ts";
import type { KvmHost } from "./host/index.ts";

/** The host, with every call to it told to `onCall`: `start.run` for the script start.sh, `monitor.dial` for QEMU's own socket. */
export function observedHost(
  host: KvmHost,
  clock: Clock,
  onCall: ((call: CloudCall) => void) | undefined,
): KvmHost {
  if (onCall === undefined) return host;
  const about = (operation: string) => ({ clock, onCall, operation, repeated: false });
  const failed = (signal: AbortSignal): CloudCallOutcome => (signal.aborted ? "cancelled" : "unavailable");
  return {
    label: host.label,
    run: (call, signal) =>
      timedCall(
        about(`${call.script}.run`),
        () => host.run(call, signal),
        (end) => ("error" in end ? failed(signal) : end.value.code === 0 ? "ok" : "refused"),
      ),
    dial: (path, signal) =>
      timedCall(
        about("monitor.dial"),
        () => host.dial(path, signal),
        (end) => ("error" in end ? failed(signal) : "ok"),
      ),
    close: () => host.close(),
  };
}
