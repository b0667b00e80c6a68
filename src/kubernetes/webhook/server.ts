import { once } from "node:events";
import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import {
  createServer as createHttpsServer,
  type Server as HttpsServer,
  type ServerOptions,
} from "node:https";
import { describeError, invalidConfig } from "../../errors/index.ts";
import type { Clock, Log } from "../../platform/index.ts";
import { type Certified, inspectCertificate, profileOptions, type TlsProfile } from "../../tls/index.ts";
import type { WebhookNotice } from "./notices.ts";
import type { WebhookPolicy } from "./policy.ts";
import { answerReview, type Reviewed, refused } from "./review.ts";

export interface WebhookServerOptions {
  /** "": every address. */
  readonly address: string;
  /** 0: one that is free. */
  readonly port: number;
  readonly healthPort: number;
  readonly tlsProfile: TlsProfile;
}

export interface WebhookServerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly policy: WebhookPolicy;
  /** Must not throw. */
  readonly onNotice: (notice: WebhookNotice) => void;
}

/** As the Go webhook's (sigs.k8s.io/controller-runtime pkg/webhook/admission/http.go): twice what etcd takes, and more. */
const MAX_BODY_BYTES = 7 * 1024 * 1024;
const REVIEW_PATH = "/mutate-v1-pod";
const REQUEST_TIMEOUT_MS = 15_000;
/** Longer than the API server's own 90 s, so that it is never the server who closes a connection under a request. */
const KEEP_ALIVE_MS = 120_000;
/** How long requests under way have at the end. The API server waits 5 s for an answer. */
const LAST_ANSWERS_MS = 5000;

/** The webhook on its sockets: reviews over TLS, and health over plain HTTP. */
export class WebhookServer implements AsyncDisposable {
  readonly #deps: WebhookServerDeps;
  readonly #options: WebhookServerOptions;
  readonly #health: HttpServer;
  #reviews: HttpsServer | undefined;
  #stopping = false;

  private constructor(deps: WebhookServerDeps, options: WebhookServerOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#health = createHttpServer((request, response) => this.#answerHealth(request, response));
  }

  /** Answers about its health from now on, and reviews once it has a certificate. Throws `invalid-config` for a port that is taken. */
  static async start(deps: WebhookServerDeps, options: WebhookServerOptions): Promise<WebhookServer> {
    const server = new WebhookServer(deps, options);
    await listen(server.#health, "PEERPODS_WEBHOOK_HEALTH_PORT", { ...options, port: options.healthPort });
    server.#surviveErrors(server.#health);
    return server;
  }

  /** Why no review can be answered now; undefined when they can. */
  get notReady(): string | undefined {
    if (this.#stopping) return "stopping";
    return this.#reviews === undefined ? "there is no certificate to serve with yet" : undefined;
  }

  /** Serves with this certificate from now on; connections that exist stay. */
  async serve(certificate: Certified): Promise<void> {
    if (this.#stopping) return;
    const { tlsProfile } = this.#options;
    const context = {
      ...profileOptions(tlsProfile),
      cert: certificate.certPem,
      key: certificate.keyPem.reveal(),
    };
    const { notAfterMs } = inspectCertificate(certificate.certPem);
    if (this.#reviews === undefined) await this.#listen(context);
    else this.#reviews.setSecureContext(context);
    this.#deps.onNotice({ kind: "certificate", notAfterMs });
  }

  async #listen(context: ServerOptions): Promise<void> {
    const server = createHttpsServer(context, (request, response) => void this.#answer(request, response));
    server.keepAliveTimeout = KEEP_ALIVE_MS;
    server.headersTimeout = REQUEST_TIMEOUT_MS;
    server.requestTimeout = REQUEST_TIMEOUT_MS;
    // A client that breaks off in its handshake is no business of ours.
    server.on("tlsClientError", (error) =>
      this.#deps.log.debug("a TLS handshake failed", { error: error.message }),
    );
    await listen(server, "PEERPODS_WEBHOOK_PORT", this.#options);
    this.#surviveErrors(server);
    this.#reviews = server;
    this.#deps.log.info("answering admission reviews", { port: portOf(server) });
  }

  /** A connection that cannot be accepted (no file descriptor is left) is lost; the next may be. */
  #surviveErrors(server: HttpServer | HttpsServer): void {
    server.on("error", (error) =>
      this.#deps.log.warn("a connection could not be accepted", { error: error.message }),
    );
  }

  /** The ports in use; 0 while there is none. */
  get ports(): { readonly reviews: number; readonly health: number } {
    return { reviews: portOf(this.#reviews), health: portOf(this.#health) };
  }

  /**
   * Is not ready from now on but goes on answering for `graceMs`, until the Service has forgotten this replica, and then to the last
   * request under way.
   */
  async drain(graceMs: number, signal?: AbortSignal): Promise<void> {
    this.#stopping = true;
    await this.#deps.clock.sleep(graceMs, signal).catch(() => undefined); // Impatience is no failure.
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    await Promise.all([this.#close(this.#reviews), this.#close(this.#health)]);
  }

  async #close(server: HttpServer | HttpsServer | undefined): Promise<void> {
    if (server === undefined || !server.listening) return;
    const closed = once(server, "close");
    server.close();
    server.closeIdleConnections();
    const cancel = this.#deps.clock.schedule(LAST_ANSWERS_MS, () => server.closeAllConnections());
    await closed;
    cancel();
  }

  #answerHealth(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url?.split("?")[0];
    const problem = path === "/readyz" ? this.notReady : undefined;
    const known = path === "/readyz" || path === "/healthz";
    response.writeHead(known ? (problem === undefined ? 200 : 503) : 404, { "content-type": "text/plain" });
    response.end(`${known ? (problem ?? "ok") : "not found"}\n`);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#stopping) response.setHeader("connection", "close");
    const { clock, log, onNotice } = this.#deps;
    const startMs = clock.monotonicMs();
    const tell = (outcome: Extract<WebhookNotice, { kind: "review" }>["outcome"]): void =>
      onNotice({ kind: "review", outcome, durationMs: clock.monotonicMs() - startMs });
    try {
      const path = request.url?.split("?")[0];
      if (path !== REVIEW_PATH) return end(response, 404, "not found\n");
      if (request.method !== "POST") return end(response, 405, "send an AdmissionReview by POST\n");
      const reviewed = await this.#review(request);
      end(response, 200, JSON.stringify(reviewed.answer), "application/json");
      tell(this.#log(reviewed));
    } catch (error) {
      if (request.destroyed && !request.complete) return; // The caller has left.
      // A bug of ours: the process and its other requests go on.
      log.error("an admission review could not be answered", { error: describeError(error) });
      if (!response.headersSent) end(response, 500, "the webhook failed; its log says why\n");
      else response.destroy();
      tell("failed");
    }
  }

  async #review(request: IncomingMessage): Promise<Reviewed> {
    const type = (request.headers["content-type"] ?? "").split(";")[0]?.trim();
    if (type !== "application/json") {
      request.resume();
      return refused(`the content type is ${JSON.stringify(type)}: send application/json`);
    }
    const body = await readBody(request);
    if (body === undefined) return refused(`the body is over ${MAX_BODY_BYTES} bytes`, 413);
    return answerReview(body, this.#deps.policy);
  }

  #log({ verdict, pod }: Reviewed): "changed" | "untouched" | "refused" {
    const { log } = this.#deps;
    if (!verdict.allowed) {
      log.warn("refused a pod", { pod, reason: verdict.message });
      return "refused";
    }
    if (verdict.operations.length === 0) {
      log.debug("left a pod as it is", { pod });
      return "untouched";
    }
    const { warnings, sizes } = verdict;
    log.info("made a pod one for a VM", { pod, ...sizes, ...(warnings.length === 0 ? {} : { warnings }) });
    return "changed";
  }
}

function end(response: ServerResponse, status: number, text: string, type = "text/plain"): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text) });
  response.end(text);
}

/** undefined: it is too long. The rest is read and dropped, so that the client hears the answer. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue;
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
    else chunks.length = 0;
  }
  return bytes > MAX_BODY_BYTES ? undefined : Buffer.concat(chunks).toString("utf8");
}

async function listen(
  server: HttpServer | HttpsServer,
  key: string,
  { address, port }: { readonly address: string; readonly port: number },
): Promise<void> {
  server.listen({ port, ...(address === "" ? {} : { host: address }) });
  try {
    await once(server, "listening");
  } catch (cause) {
    throw invalidConfig(`${key}=${port}: the port cannot be listened on: ${describeError(cause)}`, { cause });
  }
}

function portOf(server: HttpServer | HttpsServer | undefined): number {
  const address = server?.address();
  return typeof address === "object" ? (address?.port ?? 0) : 0;
}
