import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PeerPod } from "../client/index.ts";
import {
  isSuperseded,
  mayRelease,
  type OwnerState,
  type PeerPodFacts,
  type ReleaseQuestion,
  readPeerPod,
  staleOnes,
} from "./peer-pod.ts";

const EPOCH = Date.UTC(2026, 0, 1);

function peerPod(
  name: string,
  about: { owner?: string; createdS?: number; more?: object; spec?: object } = {},
): PeerPodFacts {
  const { owner, createdS = 0 } = about;
  const object: PeerPod = {
    metadata: {
      name,
      namespace: "apps",
      uid: `uid-${name}`,
      resourceVersion: "1",
      creationTimestamp: new Date(EPOCH + createdS * 1000).toISOString(),
      ...(owner !== undefined && {
        ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "web", uid: owner }],
      }),
      ...about.more,
    },
    spec: { cloudProvider: "azure", instanceID: `vm-${name}`, ...about.spec },
  };
  return readPeerPod(object);
}

const staleNames = (all: readonly PeerPodFacts[]): string[] => staleOnes(all).map(({ facts }) => facts.name);

describe("PeerPods of one pod", () => {
  test("of an earlier sandbox are stale, and the newest never", () => {
    const all = [
      peerPod("b", { owner: "p", createdS: 100 }),
      peerPod("a", { owner: "p" }),
      peerPod("c", { owner: "p", createdS: 200 }),
    ];
    expect(staleNames(all).toSorted()).toEqual(["a", "b"]);
    expect(isSuperseded(peerPod("a", { owner: "p" }), all)).toBe(true);
    expect(isSuperseded(peerPod("c", { owner: "p", createdS: 200 }), all)).toBe(false);
  });

  test.each([
    [
      "made within a minute, whose order timestamps do not tell",
      [peerPod("a", { owner: "p" }), peerPod("b", { owner: "p", createdS: 60 })],
    ],
    ["without an owner", [peerPod("a"), peerPod("b", { createdS: 1000 })]],
    ["of two pods", [peerPod("a", { owner: "p" }), peerPod("b", { owner: "q", createdS: 1000 })]],
    [
      "of which the newer has no VM yet",
      [peerPod("a", { owner: "p" }), peerPod("b", { owner: "p", createdS: 1000, spec: { instanceID: "" } })],
    ],
    [
      "that our adaptor made, which knows its sandboxes",
      [
        peerPod("a", { owner: "p", more: { labels: { "confidentialcontainers.org/node": "n" } } }),
        peerPod("b", { owner: "p", createdS: 1000 }),
      ],
    ],
    [
      "of which the newer is going",
      [
        peerPod("a", { owner: "p" }),
        peerPod("b", { owner: "p", createdS: 1000, more: { deletionTimestamp: "2026-01-01T00:00:00Z" } }),
      ],
    ],
    [
      "without a time",
      [
        peerPod("a", { owner: "p", more: { creationTimestamp: null } }),
        peerPod("b", { owner: "p", createdS: 1000 }),
      ],
    ],
  ])("%s are let alone", (_, all) => {
    expect(staleNames(all)).toEqual([]);
  });

  test("whatever their order, API servers' clocks and rounding, the newest one of a pod is kept", () => {
    // API servers of one cluster whose clocks are within half a minute.
    const made = fc.array(
      fc.tuple(fc.integer({ min: 1, max: 90_000 }), fc.integer({ min: -14_000, max: 14_000 })),
      {
        minLength: 1,
        maxLength: 6,
      },
    );
    fc.assert(
      fc.property(made, fc.infiniteStream(fc.nat()), (gaps, shuffle) => {
        let trueMs = 0;
        const inOrder = gaps.map(([gapMs, skewMs], n) => {
          trueMs += gapMs;
          return peerPod(`p${n}`, { owner: "p", createdS: Math.floor((trueMs + skewMs) / 1000) });
        });
        const newest = inOrder.at(-1)?.name ?? "";
        const listed = inOrder
          .map((facts) => ({ facts, key: shuffle.next().value }))
          .toSorted((a, b) => a.key - b.key)
          .map(({ facts }) => facts);
        expect(staleNames(listed)).not.toContain(newest);
      }),
    );
  });
});

test("a PeerPod that lacks everything is read", () => {
  const facts = readPeerPod({ metadata: { name: "x", uid: "u", resourceVersion: "" } });
  expect(facts).toMatchObject({
    namespace: "",
    instanceId: "",
    provider: "",
    ownerUid: "",
    nodeName: "",
    isHeld: false,
  });
  expect(facts.createdSeconds).toBeUndefined();
});

describe("the VM of a PeerPod that is being deleted", () => {
  const question: ReleaseQuestion = {
    facts: peerPod("a", { owner: "p", more: { labels: { "confidentialcontainers.org/node": "n" } } }),
    node: "alive",
    isNodeProvenGone: false,
    owner: "gone",
    isSuperseded: false,
    deletingForMs: 0,
    graceMs: 600_000,
  };
  const goQuestion: ReleaseQuestion = { ...question, facts: peerPod("a", { owner: "p" }), node: undefined };

  test.each<[string, Partial<ReleaseQuestion>, boolean]>([
    ["is left to a living node's adaptor at first", {}, false],
    ["is deleted when that one has not in time", { deletingForMs: 600_000 }, true],
    ["is deleted at once when the node is gone", { node: "absent" }, true],
    ["is deleted at once when the node is out of service", { node: "out-of-service" }, true],
    ["stays while its pod lives, however long", { deletingForMs: 1e9, owner: "living" }, false],
    [
      "stays while its pod lives, by the word of one look at the node",
      { node: "absent", owner: "living" },
      false,
    ],
    [
      "goes although its pod object lives, when the node is gone for certain",
      { node: "absent", owner: "living", isNodeProvenGone: true },
      true,
    ],
    [
      "goes when its pod has a newer VM and the adaptor's time is over",
      { deletingForMs: 600_000, owner: "living", isSuperseded: true },
      true,
    ],
    ["waits for the adaptor while its pod ends", { owner: "ending" }, false],
  ])("%s", (_, change, release) => {
    const answer = mayRelease({ ...question, ...change });
    expect(answer.release).toBe(release);
    expect(answer.why).not.toBe("");
  });

  test.each<[string, Partial<ReleaseQuestion>, boolean]>([
    ["goes at once when its pod is gone", {}, true],
    ["goes at once when it names no pod", { owner: "unowned" }, true],
    ["goes at once when its pod has a newer VM", { owner: "living", isSuperseded: true }, true],
    ["stays while its pod lives", { owner: "living", deletingForMs: 1e9 }, false],
    ["waits while its pod ends", { owner: "ending" }, false],
    ["goes when its pod takes too long to end", { owner: "ending", deletingForMs: 600_000 }, true],
  ])("of the Go adaptor's %s", (_, change, release) => {
    expect(mayRelease({ ...goQuestion, ...change }).release).toBe(release);
  });

  test("is never deleted under a living pod whose newest VM it is, while its node may live", () => {
    const owners: readonly OwnerState[] = ["living", "ending", "gone", "unowned"];
    fc.assert(
      fc.property(
        fc.constantFrom("alive" as const, "absent" as const, "out-of-service" as const, undefined),
        fc.constantFrom(...owners),
        fc.boolean(),
        fc.boolean(),
        fc.nat(2_000_000),
        (node, owner, superseded, isNodeProvenGone, deletingForMs) => {
          const { release } = mayRelease({
            ...question,
            node,
            owner,
            isSuperseded: superseded,
            isNodeProvenGone: isNodeProvenGone && node !== "alive" && node !== undefined,
            deletingForMs,
          });
          const isLivingHere = owner === "living" && !superseded;
          const mayLive = node === "alive" || node === undefined || !isNodeProvenGone;
          if (isLivingHere && mayLive) expect(release).toBe(false);
          if (node === "alive" && deletingForMs < question.graceMs) expect(release).toBe(false);
          if (owner === "gone" && node !== "alive") expect(release).toBe(true);
        },
      ),
    );
  });
});
