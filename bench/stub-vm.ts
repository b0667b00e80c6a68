// A VM image for machines without the stock forwarder: our guest's user data processing, pod network and forwarder, with an agent
// that drops what CopyFile brings, as bench/stub-agent.ts does.
import process, { env } from "node:process";
import { createAgent, PlainRuntime } from "../providers/mock/guest/agent/index.ts";
import { readForwarderConfig } from "../providers/mock/guest/apf-config.ts";
import { startForwarder } from "../providers/mock/guest/forwarder.ts";
import { setUpPodNetwork } from "../providers/mock/guest/pod-network.ts";
import { inVm, readSettings } from "../providers/mock/guest/settings.ts";
import { processUserData } from "../providers/mock/guest/user-data.ts";
import { createLog, systemClock, systemExec } from "../src/platform/index.ts";

const deps = { clock: systemClock, exec: systemExec, log: createLog("info", "stub-vm") };
const settings = readSettings(env);
const { signal } = new AbortController();
process.once("SIGTERM", () => process.exit(0));

await processUserData(deps, { source: settings.userDataPath, root: settings.root, signal });
const config = await readForwarderConfig(inVm(settings.root, "/run/peerpod/apf.json"));
if (!settings.rootless && config.podNetwork !== undefined)
  await setUpPodNetwork(deps, config.podNetwork, { hostInterface: settings.hostInterface, signal });
const whole = createAgent({
  ...deps,
  runtime: new PlainRuntime(settings.marks),
  root: settings.root,
  imagesDir: settings.imagesDir,
  rootless: true,
  podNetns: "",
  agentVersion: settings.agentVersion,
});
const agent = { ...whole, agent: { ...whole.agent, copyFile: () => Promise.resolve({}) } };
await startForwarder({ agent, log: deps.log }, config, settings);
