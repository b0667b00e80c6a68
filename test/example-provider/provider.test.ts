import { expect, test } from "vitest";
import { describeProviderConformance, type ProviderHarness } from "../../providers/conformance/index.ts";
import type { CloudCall } from "../../providers/contract.ts";
import { readOptions } from "../../src/cli/options.ts";
import { silentLog, systemClock, systemExec } from "../../src/platform/index.ts";
import { FakeCloud } from "./fake-cloud.ts";
import { exampleModule } from "./provider.ts";

/** An empty account; options are read as the program reads them. */
function exampleHarness(): ProviderHarness {
  const cloud = new FakeCloud();
  const module = exampleModule(() => cloud);
  return {
    cloud,
    async provider({ owner, userTags = {} }) {
      const tags = Object.entries(userTags).map(([key, value]) => `${key}=${value}`);
      const env = { EXAMPLE_REGION: "north-1", EXAMPLE_TAGS: tags.join(",") };
      const options = readOptions(module.options, { flags: new Map(), env });
      return await module.create({ clock: systemClock, exec: systemExec, log: silentLog, owner }, options);
    },
    async [Symbol.asyncDispose]() {
      // The account is memory.
    },
  };
}

describeProviderConformance("of docs/write-a-provider.md", async () => exampleHarness());

test("each try of each call is told, for the metrics", async () => {
  const cloud = new FakeCloud();
  const module = exampleModule(() => cloud);
  const options = readOptions(module.options, { flags: new Map(), env: { EXAMPLE_REGION: "north-1" } });
  const told: string[] = [];
  const owner = { clusterId: "c", nodeName: "n" };
  const onCall = ({ operation, outcome, repeated }: CloudCall): number =>
    told.push(`${operation} ${outcome}${repeated ? " again" : ""}`);
  const context = { clock: systemClock, exec: systemExec, log: silentLog, owner, onCall };
  const provider = await module.create(context, options);
  await cloud.fault({ on: "read", kind: "unavailable" });
  expect(await provider.get({ name: "podvm-none-0" }, new AbortController().signal)).toBeUndefined();
  expect(told).toEqual(["vms.get unavailable", "vms.get not-found again"]);
});

test("a region that is none is named with the form that is expected", () => {
  const { options } = exampleModule(() => new FakeCloud());
  const { problems } = readOptions(options, { flags: new Map(), env: { EXAMPLE_REGION: "North" } });
  expect(problems).toEqual(["EXAMPLE_REGION=North: give letters, a dash and a digit: north-1"]);
});
