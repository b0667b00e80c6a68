import { expect, test } from "vitest";
import { Links } from "./links.ts";

const snapshot = {
  instanceId: "i",
  apiVersion: 1,
  programVersion: "1",
  heldCalls: [],
  callersLeft: [],
  owedStops: [],
};
const sandbox = { id: "a", dir: "/p/a", connections: { open: 1, ever: true } };

test("what an attachment tells replaces what was known, and events change it", () => {
  const links = new Links();
  links.reset({ ...snapshot, sandboxes: [{ ...sandbox, link: { state: "up", reason: "", breaks: 0 } }] });
  expect(links.isUp("a")).toBe(true);
  links.see({ kind: "link", sandboxId: "a", state: "down", reason: "silent for 8 s", breaks: 1 });
  expect(links.isUp("a")).toBe(false);
  expect(links.get("a")).toEqual({ state: "down", reason: "silent for 8 s", breaks: 1 });
  links.see({ kind: "link", sandboxId: "b", state: "up", reason: "", breaks: 0 });
  links.keep(new Set(["b"]));
  expect([links.get("a"), links.isUp("b")]).toEqual([undefined, true]);
  links.reset({ ...snapshot, sandboxes: [] });
  expect(links.isUp("b")).toBe(false);
});
