import { once } from "node:events";
import { connect as tlsConnect } from "node:tls";
import { CopyFileRequest } from "../src/gen/agent/agent.ts";
import { CheckRequest } from "../src/gen/agent/health.ts";
import { dial } from "../test/shim/played-shim.ts";
import type { VmKeys } from "./adaptors.ts";
import { type Drive, RawClient, type RepeatedRequest, repeatedRequest, type Until } from "./raw-client.ts";
import { interleave, median, quantile } from "./stats.ts";

/** Ways to the agent. */
export type Way = "direct" | "forwarder" | "ours" | "other";

/** How much is measured. */
export interface Effort {
  readonly rounds: number;
  readonly checks: number;
  readonly rateMs: number;
  readonly chunks: number;
}

const CHUNK_BYTES = 1024 * 1024;
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

/** Of one way: times in milliseconds, rates per second. */
export interface DataPlaneFigures {
  readonly checkMs: number;
  readonly checkP99Ms: number;
  readonly ratePerSecond: Readonly<Record<string, number>>;
  readonly copyMBps: number;
}

export const IN_FLIGHT = [1, 32, 256] as const;

/** Measures Health.Check and CopyFile over each way, in turns. */
export async function measureDataPlane(
  clients: ReadonlyMap<Way, RawClient>,
  effort: Effort,
  note: (text: string) => void,
): Promise<ReadonlyMap<Way, DataPlaneFigures>> {
  const over = (
    rounds: number,
    request: RepeatedRequest,
    inFlight: number,
    until: Until,
  ): Promise<ReadonlyMap<Way, readonly Drive[]>> =>
    interleave(
      rounds,
      new Map([...clients].map(([way, client]) => [way, () => client.drive(request, inFlight, until)])),
    );
  const copy = copyFile();
  note("Health.Check and CopyFile, warming up");
  await over(1, CHECK, 32, { ms: effort.rateMs });
  await over(1, copy, 1, { calls: Math.ceil(effort.chunks / 4) });
  note("Health.Check, one at a time");
  const latencies = await over(effort.rounds, CHECK, 1, { calls: effort.checks });
  const rates = new Map<number, ReadonlyMap<Way, readonly Drive[]>>();
  for (const inFlight of IN_FLIGHT) {
    note(`Health.Check, ${inFlight} in flight`);
    rates.set(inFlight, await over(effort.rounds, CHECK, inFlight, { ms: effort.rateMs }));
  }
  note("CopyFile in 1 MiB chunks, one at a time");
  const copies = await over(effort.rounds, copy, 1, { calls: effort.chunks });
  const perSecond = ({ calls, elapsedMs }: Drive): number => (calls * 1000) / elapsedMs;
  return new Map(
    [...clients.keys()].map((way) => {
      const ms = (latencies.get(way) ?? []).flatMap((drive) => drive.latenciesMs);
      return [
        way,
        {
          checkMs: median(ms),
          checkP99Ms: quantile(ms, 0.99),
          ratePerSecond: Object.fromEntries(
            IN_FLIGHT.map((inFlight) => [
              `${inFlight}`,
              median((rates.get(inFlight)?.get(way) ?? []).map(perSecond)),
            ]),
          ),
          copyMBps: median((copies.get(way) ?? []).map((drive) => (perSecond(drive) * CHUNK_BYTES) / 1e6)),
        },
      ];
    }),
  );
}
