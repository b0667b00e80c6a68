import { once } from "node:events";
import { createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { describeError, unavailable } from "../../../src/errors/index.ts";
import { AgentServiceDefinition } from "../../../src/gen/agent/agent.ts";
import { HealthDefinition } from "../../../src/gen/agent/health.ts";
import type { Log } from "../../../src/platform/index.ts";
import { type EndedCall, TtrpcServer } from "../../../src/ttrpc/index.ts";
import type { Agent } from "./agent/index.ts";
import type { ForwarderConfig } from "./apf-config.ts";
import type { GuestSettings } from "./settings.ts";
import { tlsServerOptions } from "./tls-profile.ts";

/** The forwarder, listening. */
export interface Forwarder {
  /** The TCP port that it is bound to. */
  readonly port: number;
  /** Closes the listener and every connection. */
  close(): Promise<void>;
}

export interface ForwarderDeps {
  readonly agent: Agent;
  readonly log: Log;
}

/**
 * Serves the agent over TLS, as the stock agent-protocol-forwarder does: any number of connections at once; the calls of
 * a connection that breaks are abandoned and go on inside. The two changes which the stock one makes to requests are made
 * here (an empty resolv.conf) and by the agent (the pod's network namespace).
 */
export async function startForwarder(
  deps: ForwarderDeps,
  config: ForwarderConfig,
  settings: GuestSettings,
): Promise<Forwarder> {
  const { agent } = deps;
  const server = new TtrpcServer({ onCallEnded: (call) => logFailure(deps.log, call) });
  server.register(AgentServiceDefinition, {
    ...agent.agent,
    createSandbox: (request, context) => agent.agent.createSandbox({ ...request, dns: [] }, context),
  });
  server.register(HealthDefinition, agent.health);
  const sockets = new Set<Socket>();
  const serve = (socket: Socket): void => {
    socket.setNoDelay(true);
    server.serveConnection(socket);
  };
  const listener = settings.disableTls
    ? createTcpServer(serve)
    : createTlsServer(await tlsServerOptions(config, settings.tlsDir), serve);
  listener.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  listener.on("tlsClientError", (error: Error) =>
    deps.log.warn("a connection was refused", { error: describeError(error) }),
  );
  const port = await listen(listener, settings);
  return {
    port,
    async close() {
      const closed = once(listener, "close");
      listener.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** For the reader of the VM's console: what the agent refused, and why. */
function logFailure(log: Log, call: EndedCall): void {
  if (call.code === 0) return;
  const { method, code, durationMs } = call;
  log.info("call failed", { method, code, durationMs, error: describeError(call.error) });
}

async function listen(listener: Server, settings: GuestSettings): Promise<number> {
  try {
    listener.listen(settings.port, settings.address);
    await once(listener, "listening");
  } catch (cause) {
    throw unavailable(`cannot listen on ${settings.address}:${settings.port}: ${describeError(cause)}`, {
      cause,
    });
  }
  const address = listener.address();
  return address !== null && typeof address === "object" ? address.port : settings.port;
}
