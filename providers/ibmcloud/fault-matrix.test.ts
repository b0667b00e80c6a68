import { describe, expect, test } from "vitest";
import { type CaaError, type ErrorKind, isCaaError } from "../../src/errors/index.ts";
import { FakeAccount, type IbmFault, type IbmSeenCall } from "../../test/fakes/ibmcloud/index.ts";
import type { Provider } from "../contract.ts";
import { never, quiet, testRequest } from "./testing.ts";

/** A way to fail; `once` and `always` say what may come of it. `ok`: it must succeed in spite of it. */
interface Way {
  readonly name: string;
  readonly fault: Omit<IbmFault, "on">;
  readonly once: readonly (ErrorKind | "ok")[];
  readonly always: readonly (ErrorKind | "ok")[];
}

/**
 * Beside the wanted error, success is right where another call tells the same: an instance that cannot be read is missing in the list.
 * Signing in is refused by IAM with 400 and other 4xx alike; so `unauthorised` stands beside the error of the call itself.
 */
const WAYS: readonly Way[] = [
  {
    name: "400",
    fault: { kind: 400, code: "bad_request" },
    once: ["ok", "invalid-request", "unauthorised"],
    always: ["ok", "invalid-request", "unauthorised", "unavailable"],
  },
  {
    name: "401",
    fault: { kind: 401, code: "not_authenticated" },
    once: ["ok", "unauthorised"],
    always: ["unauthorised"],
  },
  {
    name: "403",
    fault: { kind: 403, code: "not_authorized" },
    once: ["ok", "unauthorised"],
    always: ["unauthorised"],
  },
  {
    name: "404",
    fault: { kind: 404, code: "not_found" },
    once: ["ok", "gone", "invalid-config", "unauthorised"],
    always: ["ok", "gone", "invalid-config", "unauthorised", "unavailable"],
  },
  {
    name: "409 busy",
    fault: { kind: 409, code: "conflict" },
    once: ["ok", "unavailable", "unauthorised"],
    always: ["ok", "unavailable", "unauthorised"],
  },
  {
    name: "400 quota",
    fault: { kind: 400, code: "over_quota", message: "will put user over quota" },
    once: ["ok", "quota", "unauthorised"],
    always: ["ok", "quota", "unauthorised"],
  },
  {
    name: "400 capacity",
    fault: { kind: 400, code: "insufficient_capacity" },
    once: ["ok", "capacity", "unauthorised"],
    always: ["ok", "capacity", "unauthorised"],
  },
  {
    name: "429 for 7 s",
    fault: { kind: 429, retryAfterMs: 7000 },
    once: ["ok", "unavailable"],
    always: ["ok", "throttled", "unavailable"],
  },
  {
    name: "429 for an hour",
    fault: { kind: 429, retryAfterMs: 3_600_000 },
    once: ["ok", "throttled", "unavailable"],
    always: ["ok", "throttled", "unavailable"],
  },
  { name: "500", fault: { kind: 500, code: "internal_error" }, once: ["ok"], always: ["ok", "unavailable"] },
  {
    name: "503 for 3 s",
    fault: { kind: 503, retryAfterMs: 3000 },
    once: ["ok"],
    always: ["ok", "unavailable"],
  },
  { name: "a cut connection", fault: { kind: "cut" }, once: ["ok"], always: ["ok", "unavailable"] },
  { name: "a lost answer", fault: { kind: "lost" }, once: ["ok"], always: ["ok", "unavailable"] },
  { name: "no answer", fault: { kind: "hang" }, once: ["ok"], always: ["ok", "unavailable", "deadline"] },
  { name: "a call that arrives late", fault: { kind: "late" }, once: ["ok"], always: ["ok", "unavailable"] },
];

/** Bounds for one operation of the provider, whatever happens to it. */
const MOST_CALLS = 80;
const MOST_MS = 20 * 60_000;

const REQUEST = testRequest();
const NAME = REQUEST.name;

/** What sort of call it is, so that a fault may meet it again and again. */
function routeOf(call: Pick<IbmSeenCall, "method" | "path">): string {
  const path = call.path.replace(/\/(instances|volumes|virtual_network_interfaces)\/.+$/, "/$1/*");
  return `${call.method} ${path.replace(/profiles\/.+$/, "profiles/*")}`;
}

/** The calls of an operation that nothing disturbs. */
async function callsOf(
  work: (account: FakeAccount, provider: Provider) => Promise<number>,
): Promise<readonly IbmSeenCall[]> {
  const account = new FakeAccount();
  const from = await work(account, await account.provider());
  return account.ibm.calls.slice(from);
}

const createCalls = await callsOf(async (_account, provider) => {
  await provider.create(REQUEST, quiet());
  return 0;
});
const deleteCalls = await callsOf(async (account, provider) => {
  await provider.create(REQUEST, quiet());
  const from = account.ibm.calls.length;
  await provider.delete({ name: NAME }, never());
  return from;
});

/** Runs an operation and says how it ended; it must have been bounded. */
async function outcomeOf(account: FakeAccount, work: Promise<unknown>): Promise<ErrorKind | "ok"> {
  const from = account.ibm.calls.length;
  const startMs = account.clock.monotonicMs();
  const ended = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(account.ibm.calls.length - from).toBeLessThan(MOST_CALLS);
  expect(account.clock.monotonicMs() - startMs).toBeLessThan(MOST_MS);
  if (ended === undefined) return "ok";
  if (!isCaaError(ended)) throw new Error("not a CaaError", { cause: ended });
  expectReadable(ended);
  return ended.kind;
}

function expectReadable(error: CaaError): void {
  expect(error.message).toContain(NAME);
  expect(error.message).not.toMatch(/\n/);
}

/** After the trouble is over, a process that knows the name alone leaves nothing behind. */
async function expectDeletable(account: FakeAccount): Promise<void> {
  account.ibm.clearFaults();
  // What is on its way to IBM arrives, or never does.
  await account.clock.sleep(60_000);
  const successor = await account.provider();
  await successor.delete({ name: NAME }, never());
  expect(account.ibm.resources()).toEqual([]);
}

const sameRoute =
  (route: string): ((request: { method: string; url: URL }) => boolean) =>
  ({ method, url }) =>
    routeOf({ method, path: url.pathname }) === route;

describe("every call of a create fails in every way", () => {
  for (const way of WAYS) {
    for (const call of createCalls) {
      test(`call ${call.number + 1} (${routeOf(call)}), ${way.name}, once`, async () => {
        const account = new FakeAccount();
        account.ibm.fault({ ...way.fault, on: "any", skip: call.number });
        const provider = await account.provider();
        const outcome = await outcomeOf(account, provider.create(REQUEST, quiet()));
        expect(way.once).toContain(outcome);
        if (outcome === "ok") expect(account.ibm.instanceNames()).toEqual([NAME]);
        await expectDeletable(account);
      });
    }

    for (const route of new Set(createCalls.map(routeOf))) {
      test(`${route}, ${way.name}, always`, async () => {
        const account = new FakeAccount();
        account.ibm.fault({ ...way.fault, on: sameRoute(route), count: 10_000 });
        const provider = await account.provider();
        expect(way.always).toContain(await outcomeOf(account, provider.create(REQUEST, quiet())));
        await expectDeletable(account);
      });
    }
  }
});

describe("every call of a delete fails in every way", () => {
  async function withVm(): Promise<{ readonly account: FakeAccount; readonly provider: Provider }> {
    const account = new FakeAccount();
    const provider = await account.provider();
    await provider.create(REQUEST, quiet());
    return { account, provider };
  }

  for (const way of WAYS) {
    for (const [index, call] of deleteCalls.entries()) {
      test(`call ${index + 1} (${routeOf(call)}), ${way.name}, once`, async () => {
        const { account, provider } = await withVm();
        account.ibm.fault({ ...way.fault, on: "any", skip: index });
        const outcome = await outcomeOf(account, provider.delete({ name: NAME }, never()));
        expect(way.once).toContain(outcome);
        if (outcome === "ok" && way.name !== "404") expect(account.ibm.resources()).toEqual([]);
        await expectDeletable(account);
      });
    }

    for (const route of new Set(deleteCalls.map(routeOf))) {
      test(`${route}, ${way.name}, always`, async () => {
        const { account, provider } = await withVm();
        account.ibm.fault({ ...way.fault, on: sameRoute(route), count: 10_000 });
        expect(way.always).toContain(await outcomeOf(account, provider.delete({ name: NAME }, never())));
        await expectDeletable(account);
      });
    }
  }
});
