import { type Place, type Starter, serves } from "./adaptors.ts";
import { type Process, sleep } from "./processes.ts";
import { interleave } from "./stats.ts";

/** What is waited for. */
export type StartUp =
  | "first start ever"
  | "shim-proxy listens"
  | "both serve"
  | "adaptor serves"
  | "other listens"
  | "other serves";

/** From the start of the process to its socket, milliseconds. Each start is a new process in a new folder. */
export async function measureStartUp(
  starter: Starter,
  times: number,
): Promise<ReadonlyMap<StartUp, readonly number[]>> {
  const firstMs = await firstStart(starter);
  const contestants = new Map<StartUp, () => Promise<number>>([
    [
      "shim-proxy listens",
      () =>
        timed(
          starter,
          (place) => [starter.shimProxy(place)],
          (process, { socket }) => process.listensOn(socket),
        ),
    ],
    [
      "adaptor serves",
      async () => {
        const place = starter.place("u");
        const proxy = starter.shimProxy(place);
        await proxy.listensOn(place.socket);
        const ms = await timed(starter, () => [starter.controlPlane(place)], waitUntilServes, place);
        await proxy.kill();
        return ms;
      },
    ],
    [
      "both serve",
      () =>
        timed(starter, (place) => [starter.shimProxy(place), starter.controlPlane(place)], waitUntilServes),
    ],
  ]);
  if (starter.hasOther) {
    const start = (place: Place): readonly Process[] => [starter.otherProcess(place)];
    contestants.set("other listens", () =>
      timed(starter, start, (process, { socket }) => process.listensOn(socket)),
    );
    contestants.set("other serves", () => timed(starter, start, waitUntilServes));
  }
  return new Map<StartUp, readonly number[]>([
    ["first start ever", [firstMs]],
    ...(await interleave(times, contestants)),
  ]);
}

/** Time for the processes to write what they have compiled, which they do right after they serve. */
const SETTLE_MS = 1500;

/** Of a program that was just installed: no start before it has left compiled code behind. */
async function firstStart(starter: Starter): Promise<number> {
  const place = starter.place("u");
  const startedMs = performance.now();
  const processes = [starter.shimProxy(place), starter.controlPlane(place)];
  const [proxy, control] = processes;
  await proxy?.listensOn(place.socket);
  const ms = performance.now() - startedMs;
  await control?.until("serves", () => serves(place.socket));
  await sleep(SETTLE_MS);
  for (const process of processes.reverse()) await process.kill();
  return ms;
}

const waitUntilServes = (process: Process, { socket }: Place): Promise<void> =>
  process.until("serves", () => serves(socket));

/** Starts the processes, waits for the last one, ends them. */
async function timed(
  starter: Starter,
  start: (place: Place) => readonly Process[],
  ready: (last: Process, place: Place) => Promise<void>,
  place: Place = starter.place("u"),
): Promise<number> {
  const startedMs = performance.now();
  const processes = start(place);
  const last = processes.at(-1);
  if (last === undefined) throw new Error("nothing was started");
  await ready(last, place);
  const ms = performance.now() - startedMs;
  for (const process of [...processes].reverse()) await process.kill();
  return ms;
}
