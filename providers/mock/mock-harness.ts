import { silentLog, systemClock, systemExec } from "../../src/platform/index.ts";
import type { CallKind, CloudFaultKind, ProviderHarness } from "../conformance/index.ts";
import { type Intercept, mockCloudClient, type Operation } from "./mock-cloud/index.ts";
import { startTestRoom } from "./mock-cloud/testing.ts";
import { MockProvider } from "./provider.ts";

const signal = new AbortController().signal;

const OPERATIONS_OF: Readonly<Record<CallKind | "any", readonly (Operation | "any")[]>> = {
  create: ["create"],
  read: ["get", "list"],
  delete: ["delete"],
  other: ["console", "user-data", "quota"],
  any: ["any"],
};

function kindOf(operation: Operation): CallKind {
  if (operation === "create" || operation === "delete") return operation;
  return operation === "get" || operation === "list" ? "read" : "other";
}

const isCloudFault = (kind: string | undefined): kind is CloudFaultKind =>
  kind !== undefined && kind !== "invalid";

/** An account in a machine room of its own, in this process; `pageSize` 2, so that lists have pages. */
export async function mockHarness(rootless: boolean): Promise<ProviderHarness> {
  let intercepted: { number: number; moment: string; hook: () => Promise<"go" | "drop"> } | undefined;
  const intercept: Intercept = async ({ number, moment }) =>
    intercepted?.number === number && intercepted.moment === moment ? intercepted.hook() : "go";
  const test = await startTestRoom({ rootless, settings: { pageSize: 2 }, intercept });
  const { room, client } = test;
  const vmsNamed = async (name: string) =>
    (await client.list({ tags: {}, names: [name], after: undefined }, signal)).vms;
  return {
    cloud: {
      async fault({ on, ...fault }) {
        for (const operation of OPERATIONS_OF[on]) await client.fault({ operation, ...fault }, signal);
      },
      clearFaults: () => client.clearFaults(signal),
      calls: () =>
        room.calls().map(({ operation, atMs, fault }) => ({
          kind: kindOf(operation),
          atMs,
          fault: isCloudFault(fault) ? fault : undefined,
        })),
      intercept(call, hook) {
        intercepted = call && { number: room.calls().length + call.number, moment: call.moment, hook };
      },
      resources: () => room.inventory(),
      vmNames: async () => room.vmNames(),
      delayTags: (tagDelayMs) => client.settings({ tagDelayMs }, signal),
      failNextBoot: () => client.settings({ bootFailures: 1 }, signal),
      async vanish(name) {
        for (const vm of await vmsNamed(name)) await client.act(vm.id, { action: "vanish" }, signal);
      },
    },
    async provider({ owner, userTags = {} }) {
      const context = { clock: systemClock, exec: systemExec, log: silentLog, owner };
      const limits = { image: "", userDataLimitBytes: 64 * 1024, tags: userTags };
      return new MockProvider(context, mockCloudClient(test.config.socket), limits);
    },
    [Symbol.asyncDispose]: () => test[Symbol.asyncDispose](),
  };
}
