import { expect, test } from "vitest";
import { isRoot } from "../test/node/namespaces.ts";
import { CALLS, countPodWork, MOST_WORK, type PodWork, podWorkRows, WORK_PODS } from "./pod-work.ts";
import { meets } from "./report.ts";

function expectAtMost(counts: PodWork["commits"] | undefined, most: PodWork["commits"] | undefined): void {
  for (const call of CALLS) {
    expect(counts?.[call], call).toBeLessThanOrEqual(most?.[call] ?? 0);
    // Nothing at all would mean that nothing was counted.
    expect(counts?.[call], call).toBeGreaterThan(0);
  }
}

test.each(WORK_PODS)("%i at once commit no more often to the journal per pod than before", async (pods) => {
  const { commits } = await countPodWork(pods);
  expectAtMost(commits, MOST_WORK[pods]?.commits);
});

test.skipIf(!isRoot).each(WORK_PODS)(
  "%i at once start no more processes per pod than before (needs root)",
  async (pods) => {
    const { processes } = await countPodWork(pods);
    expectAtMost(processes, MOST_WORK[pods]?.processes);
  },
);

test("a row misses its target when a pod starts one process more than before", () => {
  const most = MOST_WORK[1];
  if (most === undefined) throw new Error("nothing is known of a single pod");
  const run = {
    pods: 1,
    commits: most.commits,
    processes: { ...most.processes, StopVM: most.processes.StopVM + 1 },
  };
  expect(podWorkRows([run]).map(meets)).toEqual([true, true, false, true, true, true]);
});
