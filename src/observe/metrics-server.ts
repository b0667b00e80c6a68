import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { describeError } from "../errors/index.ts";
import type { Clock, Log } from "../platform/index.ts";

/** The content type of what `render` gives (Prometheus text format). */
export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export interface MetricsAddress {
  readonly host: string;
  readonly port: number;
}

export interface MetricsServerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly render: () => Promise<string>;
}

/** Pause before an address that cannot be bound is tried again. */
const REBIND_MS = 10_000;
/** Enough for Prometheus and a person or two. */
const MAX_CONNECTIONS = 32;
const REQUEST_LIMIT_MS = 30_000;

/**
 * Serves GET /metrics until closed. An address that is taken is tried again: metrics that cannot be had must not keep pods
 * from starting.
 */
export class MetricsServer {
  readonly #deps: MetricsServerDeps;
  readonly #address: MetricsAddress;
  #server: Server | undefined;
  #cancelRetry = (): void => undefined;
  #closed = false;
  #told = false;

  private constructor(deps: MetricsServerDeps, address: MetricsAddress) {
    this.#deps = deps;
    this.#address = address;
  }

  /** Begins to listen; returns at once. */
  static start(deps: MetricsServerDeps, address: MetricsAddress): MetricsServer {
    const server = new MetricsServer(deps, address);
    server.#listen();
    return server;
  }

  #listen(): void {
    const { clock, log } = this.#deps;
    const { host, port } = this.#address;
    const server = createServer((request, response) => void this.#answer(request, response));
    server.maxConnections = MAX_CONNECTIONS;
    server.requestTimeout = REQUEST_LIMIT_MS;
    server.headersTimeout = REQUEST_LIMIT_MS;
    server.on("error", (error) => {
      if (this.#closed || server.listening) return;
      const fields = { address: `${host}:${port}`, error: describeError(error) };
      if (this.#told) log.debug("the metrics' address still cannot be bound", fields);
      else
        log.error(
          "PEERPODS_METRICS_ADDRESS cannot be bound and is tried again; pods are not affected",
          fields,
        );
      this.#told = true;
      this.#cancelRetry = clock.schedule(REBIND_MS, () => this.#listen());
    });
    server.listen({ host, port }, () => {
      log.info("metrics are served", { address: `${host}:${port}` });
      this.#told = false;
    });
    this.#server = server;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "").replace(/\?.*$/, "");
    if (path !== "/metrics") return refuse(response, 404, "metrics are at /metrics\n");
    if (request.method !== "GET" && request.method !== "HEAD") return refuse(response, 405, "GET it\n");
    try {
      const text = await this.#deps.render();
      response.writeHead(200, { "content-type": METRICS_CONTENT_TYPE }).end(text);
    } catch (error) {
      this.#deps.log.warn("metrics could not be put together", { error: describeError(error) });
      refuse(response, 500, "metrics could not be put together; see the log\n");
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRetry();
    const server = this.#server;
    if (server === undefined) return;
    const ended = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await ended;
  }
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain" }).end(text);
}
