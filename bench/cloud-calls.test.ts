import { describe, expect, test } from "vitest";
import {
  type CloudCalls,
  type CountedProvider,
  cloudCallRows,
  countCalls,
  MOST_CALLS,
  POD_COUNTS,
} from "./cloud-calls.ts";
import { meets } from "./report.ts";

const PROVIDERS: readonly CountedProvider[] = ["azure", "ibmcloud"];

describe.each(PROVIDERS)("%s", (provider) => {
  test.each(POD_COUNTS)("a batch of %i costs no more API calls per pod than before", async (pods) => {
    const run = await countCalls(provider, pods);
    const most = MOST_CALLS[provider][pods];
    expect(run.perCreate, `creates: ${JSON.stringify(run.creates)}`).toBeLessThanOrEqual(most?.create ?? 0);
    expect(run.perDelete, `deletes: ${JSON.stringify(run.deletes)}`).toBeLessThanOrEqual(most?.delete ?? 0);
    // Fewer would mean that calls were missed.
    expect([run.creates.create, run.creates.token, run.deletes.delete]).toEqual([pods, 1, pods]);
    expect(run.throttled ?? 0).toBe(0);
  });
});

test("a row misses its target when a pod costs more calls than before", () => {
  const run: CloudCalls = {
    provider: "azure",
    pods: 30,
    perCreate: MOST_CALLS.azure[30]?.create ?? 0,
    perDelete: 2.5,
    creates: {},
    deletes: {},
    throttled: 1,
  };
  expect(cloudCallRows([run]).map(meets)).toEqual([true, false, false]);
});
