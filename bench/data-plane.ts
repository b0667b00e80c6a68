import { once } from "node:events";
import { connect as tlsConnect } from "node:tls";
import { CopyFileRequest, ReadStreamRequest } from "../src/gen/agent/agent.ts";
import { CheckRequest } from "../src/gen/agent/health.ts";
import { dial } from "../test/shim/played-shim.ts";
import type { VmKeys } from "./adaptors.ts";
import { type Drive, RawClient, type RepeatedRequest, repeatedRequest, type Until } from "./raw-client.ts";
import type { Column } from "./report.ts";
import type { Effort } from "./settings.ts";
import { interleave } from "./stats.ts";
import { READ_BYTES } from "./stub-agent-service.ts";

export type Way = Column;

export const CHUNK_BYTES: number = 1024 * 1024;
const FORWARDER_PORT = 15150;

export const CHECK: RepeatedRequest = repeatedRequest(
  "grpc.Health",
  "Check",
  CheckRequest.encode({ service: "" }).finish(),
);

function copyFile(): RepeatedRequest {
  const request = CopyFileRequest.encode(
    CopyFileRequest.fromPartial({
      path: "/run/kata-containers/shared/containers/bench",
      fileSize: BigInt(CHUNK_BYTES),
      fileMode: 0o100644,
      dirMode: 0o40755,
      offset: 0n,
      data: new Uint8Array(CHUNK_BYTES).fill(7),
    }),
  ).finish();
  return repeatedRequest("grpc.AgentService", "CopyFile", request);
}

/** A client of the stub agent's own socket, without TLS. */
export async function directClient(socket: string): Promise<RawClient> {
  return new RawClient(await dial(socket));
}

/** A client of a VM's forwarder, with the keys that our adaptor uses: TLS, but no adaptor between. */
export async function forwarderClient(keys: VmKeys): Promise<RawClient> {
  const { address: host, serverName: servername, ca, cert, key } = keys;
  const socket = tlsConnect({ host, port: FORWARDER_PORT, servername, ca, cert, key });
  socket.setNoDelay(true);
  await once(socket, "secureConnect");
  return new RawClient(socket);
}

/** A read of a container's output, as a shim asks for it. */
const READ_STDOUT: RepeatedRequest = repeatedRequest(
  "grpc.AgentService",
  "ReadStdout",
  ReadStreamRequest.encode({ containerId: "bench", execId: "bench", len: READ_BYTES }).finish(),
);

export const IN_FLIGHT = [1, 32, 256] as const;

type Drives = ReadonlyMap<Way, readonly Drive[]>;

/** Every drive of every way, in the order of the turns. */
export interface DataPlane {
  /** Health.Check, one at a time, with the latency of each. */
  readonly checks: Drives;
  /** Health.Check with so many in flight. */
  readonly rates: ReadonlyMap<number, Drives>;
  /** CopyFile in chunks of 1 MiB, one at a time. */
  readonly copies: Drives;
  /** ReadStdout with answers of 32 KiB, the next one asked for as soon as one has come. */
  readonly reads: Drives;
}

/** Measures Health.Check, CopyFile and ReadStdout over each way, in turns. */
export async function measureDataPlane(
  clients: ReadonlyMap<Way, RawClient>,
  effort: Effort["dataPlane"],
  note: (text: string) => void,
): Promise<DataPlane> {
  const over = (rounds: number, request: RepeatedRequest, inFlight: number, until: Until): Promise<Drives> =>
    interleave(
      rounds,
      new Map([...clients].map(([way, client]) => [way, () => client.drive(request, inFlight, until)])),
    );
  const copy = copyFile();
  note("Health.Check, CopyFile and ReadStdout, warming up");
  await over(1, CHECK, 32, { ms: effort.rateMs });
  await over(1, copy, 1, { calls: Math.ceil(effort.chunks / 4) });
  await over(1, READ_STDOUT, 1, { calls: Math.ceil(effort.reads / 4) });
  note("Health.Check, one at a time");
  const checks = await over(effort.rounds, CHECK, 1, { calls: effort.checks });
  const rates = new Map<number, Drives>();
  for (const inFlight of IN_FLIGHT) {
    note(`Health.Check, ${inFlight} in flight`);
    rates.set(inFlight, await over(effort.rounds, CHECK, inFlight, { ms: effort.rateMs }));
  }
  note("CopyFile in 1 MiB chunks, one at a time");
  const copies = await over(effort.rounds, copy, 1, { calls: effort.chunks });
  note("ReadStdout of 32 KiB, one at a time");
  const reads = await over(effort.rounds, READ_STDOUT, 1, { calls: effort.reads });
  return { checks, rates, copies, reads };
}
