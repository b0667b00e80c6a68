import { expect, test } from "vitest";
import { labelValue, NODE_LABEL, peerPodPlace, SANDBOX_LABEL } from "./peer-pod-labels.ts";

/** What the API server takes (apimachinery, validation.IsValidLabelValue). */
const VALID = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

test("a name that fits is its own label", () => {
  expect(labelValue("worker-1.example.org")).toBe("worker-1.example.org");
  expect(labelValue("a".repeat(63))).toBe("a".repeat(63));
});

test("longer names become valid labels that differ", () => {
  const ids = ["a", "b"].map((end) => `${"0123456789abcdef".repeat(4).slice(0, 63)}${end}`);
  const names = [`${"node.".repeat(40)}x`, `${"a".repeat(51)}.${"b".repeat(100)}`, ...ids];
  const labels = names.map(labelValue);
  for (const label of labels) expect(label).toMatch(VALID);
  expect(new Set(labels).size).toBe(names.length);
});

test("the whole names are read from the annotations, else from the labels", () => {
  const metadata = {
    name: "p",
    uid: "u",
    resourceVersion: "1",
    labels: { [NODE_LABEL]: "short", [SANDBOX_LABEL]: "s" },
  };
  expect(peerPodPlace({ metadata })).toEqual({ nodeName: "short", sandboxId: "s" });
  const annotations = { [NODE_LABEL]: "whole" };
  expect(peerPodPlace({ metadata: { ...metadata, annotations } })).toEqual({
    nodeName: "whole",
    sandboxId: "s",
  });
  expect(peerPodPlace({ metadata: { name: "p", uid: "u", resourceVersion: "1" } })).toEqual({
    nodeName: "",
    sandboxId: "",
  });
});
