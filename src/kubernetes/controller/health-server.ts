import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { invalidConfig } from "../../errors/index.ts";

export interface HealthFacts {
  readonly isLeader: boolean;
  /** Empty: all is well. */
  readonly obstacles: readonly string[];
}

/**
 * Serves `/healthz` (the process answers) and `/readyz` (the cluster can be asked; a standby is ready) on a port of every address, as
 * the Go controller does. Throws `invalid-config` when the port cannot be had.
 */
export async function serveHealth(
  port: number,
  facts: () => HealthFacts,
): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer((request, response) => {
    const path = (request.url ?? "").split("?")[0];
    if (path === "/healthz") return answer(response, 200, { ok: true, reasons: ["alive"] });
    if (path !== "/readyz") return answer(response, 404, { reasons: ["there are /healthz and /readyz"] });
    const { isLeader, obstacles } = facts();
    const ok = obstacles.length === 0;
    const reasons = ok ? [isLeader ? "leading" : "standing by"] : obstacles;
    answer(response, ok ? 200 : 503, { ok, isLeader, reasons });
  });
  server.listen(port);
  try {
    await once(server, "listening");
  } catch (cause) {
    throw invalidConfig(
      `port ${port} cannot be listened on: set PEERPODS_CONTROLLER_HEALTH_PORT to one that is free`,
      { cause },
    );
  }
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
}
