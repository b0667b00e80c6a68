import type { MockCloudConfig } from "../../providers/mock/mock-cloud/config.ts";
import { runMockCloud as run } from "../../providers/mock/mock-cloud/index.ts";
import { aborted, createLog, type LogLevel, systemClock, systemExec } from "../platform/index.ts";
import { stopSignal } from "./stop-signals.ts";

/** Runs the machine room until SIGTERM or SIGINT; its VMs end with it. Resolves to the exit status. */
export async function runMockCloud(
  config: MockCloudConfig,
  about: { readonly logLevel: LogLevel; readonly warnings: readonly string[] },
): Promise<number> {
  const log = createLog(about.logLevel, "mock-cloud");
  for (const warning of about.warnings) log.warn(warning);
  const stop = stopSignal();
  const room = await run(config, { clock: systemClock, exec: systemExec, log });
  await aborted(stop);
  await room.close();
  return 0;
}
