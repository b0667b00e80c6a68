import { describe, expect, test } from "vitest";
import { type CaaError, type ErrorKind, isCaaError } from "../../src/errors/index.ts";
import { Secret } from "../../src/platform/index.ts";
import { type ArmCall, type ArmFault, FakeAccount } from "../../test/fakes/azure/index.ts";
import { type CreateOptions, OwnerTag, type Provider, type VmRequest } from "../contract.ts";

/** A way to fail; `once` and `always` say what may come of it. `ok`: it must succeed in spite of it. */
interface Way {
  readonly name: string;
  readonly fault: Omit<ArmFault, "on">;
  readonly once: readonly (ErrorKind | "ok")[];
  readonly always: readonly (ErrorKind | "ok")[];
}

/** Beside the wanted error, success is right where the call was not needed: the list of sizes, the state of an operation. */
const WAYS: readonly Way[] = [
  {
    name: "400",
    fault: { kind: 400, code: "BadRequest" },
    once: ["ok", "invalid-request"],
    always: ["ok", "invalid-request", "unavailable"],
  },
  {
    name: "401",
    fault: { kind: 401, code: "ExpiredAuthenticationToken" },
    once: ["ok"],
    always: ["ok", "unauthorised"],
  },
  {
    name: "403",
    fault: { kind: 403, code: "AuthorizationFailed" },
    once: ["ok", "unauthorised"],
    always: ["ok", "unauthorised"],
  },
  {
    name: "404",
    fault: { kind: 404, code: "ResourceNotFound" },
    once: ["ok", "gone"],
    always: ["ok", "gone", "unavailable"],
  },
  {
    name: "409 in use",
    fault: { kind: 409, code: "AnotherOperationInProgress" },
    once: ["ok", "unavailable"],
    always: ["ok", "unavailable"],
  },
  {
    name: "409 quota",
    fault: { kind: 409, code: "OperationNotAllowed", message: "exceeding approved quota" },
    once: ["ok", "quota"],
    always: ["ok", "quota"],
  },
  {
    name: "409 capacity",
    fault: { kind: 409, code: "AllocationFailed" },
    once: ["ok", "capacity"],
    always: ["ok", "capacity"],
  },
  {
    name: "429 for 7 s",
    fault: { kind: 429, retryAfterMs: 7000 },
    once: ["ok"],
    always: ["ok", "throttled"],
  },
  {
    name: "429 for an hour",
    fault: { kind: 429, retryAfterMs: 3_600_000 },
    once: ["ok", "throttled"],
    always: ["ok", "throttled"],
  },
  {
    name: "500",
    fault: { kind: 500, code: "InternalServerError" },
    once: ["ok"],
    always: ["ok", "unavailable"],
  },
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

const SANDBOX = "5".repeat(64);
const NAME = "podvm-pod-55555555";
const REQUEST: VmRequest = {
  name: NAME,
  tags: {
    [OwnerTag.Cluster]: "cluster-a",
    [OwnerTag.Node]: "node-1",
    [OwnerTag.Sandbox]: SANDBOX,
    [OwnerTag.Namespace]: "default",
    [OwnerTag.Pod]: "pod",
  },
  userData: new Secret("#cloud-config\n"),
  size: { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 },
  image: "",
  dedicatedTunnelInterface: false,
  externalNetworkInterface: false,
  volumes: [],
};
const never = (): AbortSignal => new AbortController().signal;
const quiet = (): CreateOptions => ({ signal: never(), onId: () => undefined, onProgress: () => undefined });

/** What sort of call it is, so that a fault may meet it again and again: method and type of resource. */
function routeOf(call: Pick<ArmCall, "method" | "path">): string {
  return `${call.method} ${call.path.replace(/\/[^/]*podvm[^/]*$/, "/*").replace(/operations\/.*/, "operations/*")}`;
}

/** The calls of an operation that nothing disturbs. */
async function callsOf(
  work: (account: FakeAccount, provider: Provider) => Promise<number>,
): Promise<readonly ArmCall[]> {
  const account = new FakeAccount();
  const from = await work(account, await account.provider());
  return account.azure.calls.slice(from);
}

const createCalls = await callsOf(async (_account, provider) => {
  await provider.create(REQUEST, quiet());
  return 0;
});
const deleteCalls = await callsOf(async (account, provider) => {
  await provider.create(REQUEST, quiet());
  const from = account.azure.calls.length;
  await provider.delete({ name: NAME }, never());
  return from;
});

/** Runs an operation and says how it ended; it must have been bounded. */
async function outcomeOf(account: FakeAccount, work: Promise<unknown>): Promise<ErrorKind | "ok"> {
  const from = account.azure.calls.length;
  const startMs = account.clock.monotonicMs();
  const ended = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(account.azure.calls.length - from).toBeLessThan(MOST_CALLS);
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
  account.azure.clearFaults();
  const successor = await account.provider();
  await successor.delete({ name: NAME }, never());
  expect(account.azure.resources()).toEqual([]);
  // What was on its way to Azure has arrived by then, if it ever does.
  await account.clock.sleep(60_000);
}

describe("every call of a create fails in every way", () => {
  for (const way of WAYS) {
    for (const call of createCalls) {
      test(`call ${call.number + 1} (${routeOf(call)}), ${way.name}, once`, async () => {
        const account = new FakeAccount();
        account.azure.fault({ ...way.fault, on: "any", skip: call.number });
        const provider = await account.provider();
        const outcome = await outcomeOf(account, provider.create(REQUEST, quiet()));
        expect(way.once).toContain(outcome);
        const made = account.azure.world.vms.all().map((vm) => [vm.name, vm.state]);
        if (outcome === "ok") expect(made).toEqual([[NAME, "Succeeded"]]);
        await expectDeletable(account);
      });
    }

    for (const route of new Set(createCalls.map(routeOf))) {
      test(`${route}, ${way.name}, always`, async () => {
        const account = new FakeAccount();
        const on = (request: { method: string; url: URL }): boolean =>
          routeOf({ method: request.method, path: request.url.pathname }) === route;
        account.azure.fault({ ...way.fault, on, count: 10_000 });
        const provider = await account.provider();
        expect(way.always).toContain(await outcomeOf(account, provider.create(REQUEST, quiet())));
        await account.clock.sleep(60_000);
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
        account.azure.fault({ ...way.fault, on: "any", skip: index });
        const outcome = await outcomeOf(account, provider.delete({ name: NAME }, never()));
        expect(way.once).toContain(outcome);
        if (outcome === "ok" && way.name !== "404") expect(account.azure.resources()).toEqual([]);
        await expectDeletable(account);
      });
    }

    for (const route of new Set(deleteCalls.map(routeOf))) {
      test(`${route}, ${way.name}, always`, async () => {
        const { account, provider } = await withVm();
        const on = (request: { method: string; url: URL }): boolean =>
          routeOf({ method: request.method, path: request.url.pathname }) === route;
        account.azure.fault({ ...way.fault, on, count: 10_000 });
        expect(way.always).toContain(await outcomeOf(account, provider.delete({ name: NAME }, never())));
        await expectDeletable(account);
      });
    }
  }
});
