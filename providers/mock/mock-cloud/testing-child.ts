import { silentLog, systemClock, systemExec } from "../../../src/platform/index.ts";
import type { MockCloudConfig } from "./config.ts";
import { runMockCloud } from "./run.ts";

// A machine room in a process of its own, for tests that kill it: its configuration is the first argument, "ready" is its only output.

// The test that starts this file writes the configuration with testConfig, so the shape holds.
const config = JSON.parse(process.argv[2] ?? "") as MockCloudConfig;
await runMockCloud(config, { clock: systemClock, exec: systemExec, log: silentLog });
process.stdout.write("ready\n");
