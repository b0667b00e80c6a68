import process, { env } from "node:process";
import { describeError } from "../../../src/errors/index.ts";
import { createLog, systemClock, systemExec } from "../../../src/platform/index.ts";
import { startGuest } from "./guest.ts";
import { readSettings } from "./settings.ts";

// The executable of the default VM image. It ends with status 1 when it cannot boot, as the stock services do, and with
// 0 after it was asked to stop.

const log = createLog("info", "guest");

async function run(): Promise<void> {
  const stopping = new AbortController();
  const stop = Promise.withResolvers<void>();
  for (const name of ["SIGTERM", "SIGINT"]) {
    process.once(name, () => {
      stopping.abort(new Error(`stopped by ${name}`));
      stop.resolve();
    });
  }
  const deps = { clock: systemClock, exec: systemExec, log };
  const guest = await startGuest(deps, readSettings(env), stopping.signal);
  await stop.promise;
  await guest.close();
}

try {
  await run();
  process.exit(0);
} catch (error) {
  log.error("the pod VM has failed", { error: describeError(error) });
  process.exit(1);
}
