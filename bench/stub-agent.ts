// The fixed stub agent: an ordinary ttrpc server on a unix socket (its one argument) that answers Health and CopyFile at once. Requests
// are decoded, as an agent must; what CopyFile brings is dropped.
import { rmSync } from "node:fs";
import { createServer } from "node:net";
import { CopyFileRequest } from "../src/gen/agent/agent.ts";
import { CheckRequest, HealthCheckResponse, VersionCheckResponse } from "../src/gen/agent/health.ts";
import { TtrpcServer } from "../src/ttrpc/index.ts";

const VERSION = { grpcVersion: "0.0.1", agentVersion: "4.1.0" };
const EMPTY = new Uint8Array(0);

const server = new TtrpcServer();
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
});
const [, , path = ""] = process.argv;
rmSync(path, { force: true });
server.serveListener(createServer().listen(path));
