import { join } from "node:path";
import { internal } from "../../../../src/errors/index.ts";
import {
  type AgentServiceDefinition,
  GuestDetailsResponse,
  OOMEvent,
  type ReadStreamRequest,
  ReadStreamResponse,
  type SignalProcessRequest,
  WaitProcessResponse,
  WriteStreamResponse,
} from "../../../../src/gen/agent/agent.ts";
import {
  HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
  type HealthDefinition,
  VersionCheckResponse,
} from "../../../../src/gen/agent/health.ts";
import { Empty } from "../../../../src/gen/google/protobuf/empty.ts";
import type { ServiceHandlers } from "../../../../src/ttrpc/index.ts";
import { inVm } from "../settings.ts";
import { copyFile, SHARED_DIR } from "./copy-file.ts";
import { deadlocksOnOomEvents, Mutex } from "./old-agent.ts";
import { Sandbox, type SandboxDeps } from "./sandbox.ts";
import { STORAGE_DRIVERS } from "./storages.ts";

const SIGKILL = 9;
/** Bytes of a memory block of x86-64 Linux, as in the recordings. */
const MEMORY_BLOCK_BYTES = 128n * 1024n * 1024n;
/** The agent's API version (kata-containers src/agent/Makefile). */
const API_VERSION = "0.0.1";
/** Most bytes of one answered read, whatever was asked for: an answer must fit into a frame. */
const MAX_READ_BYTES = 1024 * 1024;

export interface AgentDeps extends SandboxDeps {
  readonly agentVersion: string;
}

/** The two services of the kata agent, for a server to register. */
export interface Agent {
  readonly agent: ServiceHandlers<typeof AgentServiceDefinition>;
  readonly health: ServiceHandlers<typeof HealthDefinition>;
  /** Ends every container. */
  close(): Promise<void>;
}

type AgentHandlers = ServiceHandlers<typeof AgentServiceDefinition>;

interface Parts {
  readonly deps: AgentDeps;
  readonly sandbox: Sandbox;
  /** Runs what the real agent does under its one lock. Only an old agent's can be held for long. */
  readonly locked: <T>(run: () => Promise<T>) => Promise<T>;
  readonly lock: Mutex;
}

const EMPTY: Empty = Empty.create();

/** Makes an agent. Nothing runs before CreateContainer and StartContainer. A call goes on whatever becomes of its caller. */
export function createAgent(deps: AgentDeps): Agent {
  const sandbox = new Sandbox(deps);
  const lock = new Mutex();
  const isOld = deadlocksOnOomEvents(deps.agentVersion);
  const parts: Parts = {
    deps,
    sandbox,
    lock,
    locked: async (run) => {
      if (isOld) (await lock.acquire())();
      return run();
    },
  };
  return {
    agent: {
      ...sandboxCalls(parts),
      ...containerCalls(parts),
      ...processCalls(parts),
      ...streamCalls(parts),
      getOOMEvent: isOld
        ? oldOomEvents(parts)
        : async () => OOMEvent.create({ containerId: await sandbox.oomEvents.next() }),
    },
    health: {
      check: async () => HealthCheckResponse.create({ status: HealthCheckResponse_ServingStatus.SERVING }),
      version: async () =>
        VersionCheckResponse.create({ grpcVersion: API_VERSION, agentVersion: deps.agentVersion }),
    },
    close: () => sandbox.destroy(),
  };
}

/** Before 3.32.0 a second call took the lock of all calls and waited with it for the first to end (kata-containers 7807aa3d62). */
function oldOomEvents({ sandbox, lock }: Parts): AgentHandlers["getOOMEvent"] {
  const receiver = new Mutex();
  return async () => {
    const releaseLock = await lock.acquire();
    const releaseReceiver = await receiver.acquire();
    releaseLock();
    try {
      return OOMEvent.create({ containerId: await sandbox.oomEvents.next() });
    } finally {
      releaseReceiver();
    }
  };
}

function sandboxCalls({ deps, sandbox, locked }: Parts) {
  return {
    createSandbox: (request) =>
      locked(async () => {
        await sandbox.create(request);
        return EMPTY;
      }),
    destroySandbox: () =>
      locked(async () => {
        await sandbox.destroy();
        return EMPTY;
      }),
    getGuestDetails: async (request) =>
      GuestDetailsResponse.create({
        memBlockSizeBytes: request.memBlockSize ? MEMORY_BLOCK_BYTES : 0n,
        agentDetails: {
          version: deps.agentVersion,
          storageHandlers: [...STORAGE_DRIVERS],
        },
      }),
    setPolicy: async () => EMPTY,
    copyFile: async (request) => {
      await copyFile({ sharedDir: inVm(deps.root, join(SHARED_DIR)), privileged: !deps.rootless }, request);
      return EMPTY;
    },
    removeStaleVirtiofsShareMounts: async () => EMPTY,
  } satisfies Partial<AgentHandlers>;
}

function containerCalls({ sandbox, locked }: Parts) {
  return {
    createContainer: (request) =>
      locked(async () => {
        await sandbox.createContainer(request);
        return EMPTY;
      }),
    startContainer: (request) =>
      locked(async () => {
        await sandbox.container(request.containerId).start();
        return EMPTY;
      }),
    removeContainer: (request) =>
      locked(async () => {
        await sandbox.removeContainer(request.containerId);
        return EMPTY;
      }),
    updateContainer: (request) =>
      locked(async () => {
        const container = sandbox.container(request.containerId);
        if (request.resources !== undefined) await container.update(request.resources);
        return EMPTY;
      }),
    statsContainer: (request) => locked(() => sandbox.container(request.containerId).stats()),
    pauseContainer: (request) =>
      locked(async () => {
        await sandbox.container(request.containerId).pause();
        return EMPTY;
      }),
    resumeContainer: (request) =>
      locked(async () => {
        await sandbox.container(request.containerId).resume();
        return EMPTY;
      }),
  } satisfies Partial<AgentHandlers>;
}

function processCalls({ sandbox, locked }: Parts) {
  return {
    execProcess: (request) =>
      locked(async () => {
        await sandbox.exec(request);
        return EMPTY;
      }),
    signalProcess: (request) =>
      locked(async () => {
        await signal(sandbox, request);
        return EMPTY;
      }),
    waitProcess: (request) =>
      locked(async () => {
        const process = sandbox.process(request.containerId, request.execId);
        const container = sandbox.container(request.containerId);
        return WaitProcessResponse.create({ status: await container.wait(process) });
      }),
  } satisfies Partial<AgentHandlers>;
}

/** No exec id and SIGKILL means every process of the container (rpc.rs, do_signal_process). */
async function signal(sandbox: Sandbox, request: SignalProcessRequest): Promise<void> {
  if (request.execId === "" && request.signal === SIGKILL) {
    await sandbox.container(request.containerId).signalAll(SIGKILL);
    return;
  }
  await sandbox.process(request.containerId, request.execId).signal(request.signal);
}

function streamCalls({ sandbox, locked }: Parts) {
  const read = async (request: ReadStreamRequest, stream: "readStdout" | "readStderr") => {
    const process = sandbox.process(request.containerId, request.execId);
    const length = Math.min(request.len, MAX_READ_BYTES);
    return ReadStreamResponse.create({ data: await process[stream](length) });
  };
  return {
    readStdout: (request) => locked(() => read(request, "readStdout")),
    readStderr: (request) => locked(() => read(request, "readStderr")),
    writeStdin: (request) =>
      locked(async () => {
        const process = stdinOf(sandbox, request);
        // The Rust shim closes the input by writing nothing.
        if (request.data.length === 0) process.closeStdin();
        else await process.write(Buffer.from(request.data));
        return WriteStreamResponse.create({ len: request.data.length });
      }),
    closeStdin: (request) =>
      locked(async () => {
        sandbox.process(request.containerId, request.execId).closeStdin();
        return EMPTY;
      }),
    ttyWinResize: (request) =>
      locked(async () => {
        await sandbox.process(request.containerId, request.execId).resize(request.row, request.column);
        return EMPTY;
      }),
  } satisfies Partial<AgentHandlers>;
}

/** The one place where the real agent gives a missing process another code (do_write_stream). */
function stdinOf(sandbox: Sandbox, request: { readonly containerId: string; readonly execId: string }) {
  try {
    return sandbox.process(request.containerId, request.execId);
  } catch (cause) {
    throw internal("Process not found", { cause });
  }
}
