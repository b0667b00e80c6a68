import { CopyFileRequest, ReadStreamRequest, ReadStreamResponse } from "../src/gen/agent/agent.ts";
import { CheckRequest, HealthCheckResponse, VersionCheckResponse } from "../src/gen/agent/health.ts";
import { type RawMethod, TtrpcServer } from "../src/ttrpc/index.ts";

const VERSION = { grpcVersion: "0.0.1", agentVersion: "4.1.0" };
const EMPTY = new Uint8Array(0);
/** What a shim asks for at once, and what one read brings. */
export const READ_BYTES: number = 32 * 1024;

const answerNothing: RawMethod = async () => EMPTY;

/** As long as the caller is there. */
const pend: RawMethod = (_payload, { signal }) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(new Error("the caller has left")), { once: true });
  });

/**
 * The stub agent: it answers at once. Requests of what is measured are decoded, as an agent must; what CopyFile brings is dropped, and
 * ReadStdout has the same 32 KiB every time. GetOOMEvent and WaitProcess pend, as those of a pod that lives.
 */
export function stubAgent(): TtrpcServer {
  const server = new TtrpcServer();
  const output = ReadStreamResponse.encode({ data: new Uint8Array(READ_BYTES).fill(0x2e) }).finish();
  server.registerRaw("grpc.Health", {
    Check: async (payload) => {
      CheckRequest.decode(payload);
      return HealthCheckResponse.encode({ status: 1 }).finish();
    },
    Version: async () => VersionCheckResponse.encode(VERSION).finish(),
  });
  server.registerRaw("grpc.AgentService", {
    CopyFile: async (payload) => {
      CopyFileRequest.decode(payload);
      return EMPTY;
    },
    ReadStdout: async (payload) => {
      ReadStreamRequest.decode(payload);
      return output;
    },
    CreateSandbox: answerNothing,
    DestroySandbox: answerNothing,
    GetOOMEvent: pend,
    WaitProcess: pend,
  });
  return server;
}
