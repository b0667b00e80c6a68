import { join } from "node:path";
import type { Clock, Exec, Log } from "../../../src/platform/index.ts";
import { type Agent, createAgent, PlainRuntime, RuncRuntime } from "./agent/index.ts";
import { readForwarderConfig } from "./apf-config.ts";
import { startForwarder } from "./forwarder.ts";
import { POD_NETNS } from "./network-commands.ts";
import { setUpPodNetwork } from "./pod-network.ts";
import { type GuestSettings, inVm } from "./settings.ts";
import { processUserData } from "./user-data.ts";

export interface GuestDeps {
  readonly clock: Clock;
  readonly exec: Exec;
  readonly log: Log;
}

/** A pod VM's inside, serving. */
export interface Guest {
  /** The forwarder's TCP port. */
  readonly port: number;
  /** Ends the containers, the network and the listener. */
  close(): Promise<void>;
}

/**
 * Boots in the order of the stock image: user data, pod network, then the TLS listener, so that an accepted connection
 * means that the network is up. Rejects when a step fails; the VM then has failed.
 */
export async function startGuest(
  deps: GuestDeps,
  settings: GuestSettings,
  signal: AbortSignal,
): Promise<Guest> {
  const { log } = deps;
  await using undo = new AsyncDisposableStack();
  await processUserData(deps, { source: settings.userDataPath, root: settings.root, signal });
  const config = await readForwarderConfig(inVm(settings.root, "/run/peerpod/apf.json"));
  log.info("user data processed", { pod: `${config.podNamespace}/${config.podName}` });
  const withNetwork = !settings.rootless && config.podNetwork !== undefined;
  if (withNetwork && config.podNetwork !== undefined) {
    const network = await setUpPodNetwork(deps, config.podNetwork, {
      hostInterface: settings.hostInterface,
      signal,
    });
    undo.defer(() => network.tearDown());
    log.info("pod network is up", { device: config.podNetwork.device });
  }
  const agent = makeAgent(deps, settings, withNetwork ? POD_NETNS : "");
  undo.defer(() => agent.close());
  const forwarder = await startForwarder({ agent, log }, config, settings);
  undo.defer(() => forwarder.close());
  log.info("forwarder is listening", { address: settings.address, port: forwarder.port });
  const kept = undo.move();
  return { port: forwarder.port, close: () => kept.disposeAsync() };
}

function makeAgent(deps: GuestDeps, settings: GuestSettings, podNetns: string): Agent {
  const stateDir = inVm(settings.root, join("/run", "runc"));
  return createAgent({
    ...deps,
    runtime: settings.rootless ? new PlainRuntime(settings.marks) : new RuncRuntime({ ...deps, stateDir }),
    root: settings.root,
    imagesDir: settings.imagesDir,
    rootless: settings.rootless,
    podNetns,
    agentVersion: settings.agentVersion,
  });
}
