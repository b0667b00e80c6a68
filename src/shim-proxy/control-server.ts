import { dirname } from "node:path";
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type StatusObject,
  type sendUnaryData,
} from "@grpc/grpc-js";
import {
  Code,
  describeError,
  invalidRequest,
  isCaaError,
  unavailable,
  unsupported,
} from "../errors/index.ts";
import type { AttachRequest, Event, ShimProxyServer } from "../gen/shimproxy/control.ts";
import { ShimProxyService } from "../gen/shimproxy/control.ts";
import type { Log } from "../platform/index.ts";
import type { AgentFront } from "./agent-front.ts";
import { API_VERSIONS } from "./control-types.ts";
import type { Counts } from "./counts.ts";
import type { HypervisorFront } from "./hypervisor-front.ts";
import type { EventSink, OwnerSession, Ownership } from "./ownership.ts";
import { checkSocketPath, moveIntoPlace, removeIfOurs, temporaryName } from "./placed-socket.ts";
import { statsOf } from "./stats.ts";

export interface ControlServerDeps {
  readonly log: Log;
  readonly instanceId: string;
  readonly programVersion: string;
  readonly maxQueuedEvents: number;
  readonly ownership: Ownership;
  readonly hypervisor: HypervisorFront;
  readonly agents: AgentFront;
  readonly counts: Counts;
}

/** A gRPC server on a unix socket that appears in its place in one step. */
export interface ControlServer {
  close(): void;
}

/** Serves the control API on `path`, mode 0600. Throws `too-large` or `unavailable`. */
export async function serveControl(path: string, deps: ControlServerDeps): Promise<ControlServer> {
  checkSocketPath(path);
  const server = new Server({ "grpc.max_receive_message_length": MAX_REQUEST_BYTES });
  server.addService(ShimProxyService, handlers(deps));
  const temporary = temporaryName(path);
  let inode: number;
  try {
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${temporary}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    inode = moveIntoPlace(temporary, path);
  } catch (cause) {
    server.forceShutdown();
    throw unavailable(`cannot place ${path} (is ${dirname(path)} writable?): ${describeError(cause)}`, {
      cause,
    });
  }
  return {
    close() {
      removeIfOurs(path, inode);
      server.forceShutdown();
    },
  };
}

/** The largest request: a PutLink with certificates and volumes is some KiB. */
const MAX_REQUEST_BYTES = 1024 * 1024;

function handlers(deps: ControlServerDeps): ShimProxyServer {
  const { ownership, agents, hypervisor } = deps;
  return {
    attach: (call) => attach(deps, call),
    release: unary(deps, (request) => {
      ownership.release(request.epoch);
      return {};
    }),
    recovered: unary(deps, (request) => {
      ownership.recovered(request.epoch);
      return {};
    }),
    putSandbox: unary(deps, async (request) => {
      ownership.check(request.epoch);
      await agents.putSandbox(request.id, request.dir);
      return {};
    }),
    putLink: unary(deps, async (request, signal) => {
      try {
        ownership.check(request.epoch);
        await agents.putLink(request, signal);
      } finally {
        request.tls?.clientKeyPem.fill(0);
      }
      return {};
    }),
    failLink: unary(deps, (request) => {
      ownership.check(request.epoch);
      agents.failLink(request.id, request.reason);
      return {};
    }),
    closeSandbox: unary(deps, (request) => {
      ownership.check(request.epoch);
      agents.closeSandbox(request.id);
      return {};
    }),
    ackStop: unary(deps, (request) => {
      ownership.check(request.epoch);
      hypervisor.acknowledgeStop(request.sandboxId);
      return {};
    }),
    stats: unary(deps, () => statsOf(deps)),
  };
}

type Handler<Request, Response> = (request: Request, signal: AbortSignal) => Response | Promise<Response>;

/** A handler whose thrown errors become statuses and whose signal aborts when the caller leaves. */
function unary<Request, Response>(
  deps: ControlServerDeps,
  handle: Handler<Request, Response>,
): (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>) => void {
  return (call, callback) => {
    const gone = new AbortController();
    call.on("cancelled", () => gone.abort());
    const answer = async (): Promise<Response> => handle(call.request, gone.signal);
    answer().then(
      (response) => callback(null, response),
      (error: unknown) => callback(statusOf(deps.log, error)),
    );
  };
}

function statusOf(log: Log, error: unknown): Partial<StatusObject> {
  if (isCaaError(error)) {
    const code = error.kind === "unauthorised" ? Code.Unauthenticated : error.code;
    return { code, details: describeError(error) };
  }
  log.error("a control call failed by an error of ours", { error: describeError(error) });
  return { code: Code.Internal, details: `an error of the shim-proxy: ${describeError(error)}` };
}

function attach(deps: ControlServerDeps, call: ServerWritableStream<AttachRequest, Event>): void {
  const { ownership, hypervisor, agents, log } = deps;
  try {
    const session = sessionOf(call.request);
    const apiVersion = commonVersion(call.request.apiVersions);
    const snapshot = (): Event[] => [
      { attached: { instanceId: deps.instanceId, apiVersion, programVersion: deps.programVersion } },
      ...agents.snapshot(),
      ...hypervisor.snapshot(),
      { snapshotEnd: {} },
    ];
    call.on("cancelled", () => ownership.streamEnded(session));
    ownership.attach(session, makeSink(deps, call), snapshot);
    log.info("a control plane attached", {
      epoch: String(session.epoch),
      program: call.request.programVersion.slice(0, 100),
      sandboxes: agents.size,
    });
  } catch (error) {
    call.emit("error", statusOf(log, error));
  }
}

function sessionOf(request: AttachRequest): OwnerSession {
  const { epoch, frameSocket } = request;
  if (!frameSocket.startsWith("/") || frameSocket.includes("\0"))
    throw invalidRequest(`frame socket ${JSON.stringify(frameSocket)} must be an absolute path`);
  checkSocketPath(frameSocket);
  return { epoch, frameSocket };
}

function commonVersion(offered: readonly number[]): number {
  const version = API_VERSIONS.find((own) => offered.includes(own));
  if (version === undefined)
    throw unsupported(
      `no common version of the control API: the control plane speaks ${offered.join(", ") || "none"}, this shim-proxy ${API_VERSIONS.join(", ")}`,
    );
  return version;
}

const END_STATUS = {
  replaced: { code: Code.Aborted, details: "another control plane took over" },
  stuck: { code: Code.ResourceExhausted, details: "the control plane does not read its events" },
  closing: { code: Code.Unavailable, details: "the shim-proxy ends" },
} as const;

function makeSink(deps: ControlServerDeps, call: ServerWritableStream<AttachRequest, Event>): EventSink {
  // The snapshot is as long as it is: cut short, the control plane would wait for its end for ever.
  let snapshotEvents = 0;
  let snapshotEnded = false;
  return {
    write(event) {
      if (snapshotEnded && call.writableLength >= deps.maxQueuedEvents + snapshotEvents) return false;
      if (!snapshotEnded) snapshotEvents++;
      snapshotEnded ||= event.snapshotEnd !== undefined;
      call.write(event);
      return true;
    },
    end(reason) {
      deps.log.info("the control plane is detached", { reason });
      if (reason === "released") call.end();
      else call.emit("error", END_STATUS[reason]);
    },
  };
}
