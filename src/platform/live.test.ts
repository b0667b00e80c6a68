import { expect, test } from "vitest";
import { type Live, LiveValue } from "./live.ts";

test("whoever listens is told after the change, until they stop", () => {
  const value = new LiveValue(1);
  const seen: number[] = [];
  const live: Live<number> = value;
  const stop = live.onChange(() => seen.push(live.current()));
  value.set(2);
  stop();
  value.set(3);
  expect([seen, live.current()]).toEqual([[2], 3]);
});

test("a listener may stop another, or itself, while being told", () => {
  const value = new LiveValue("a");
  const told: string[] = [];
  const stopFirst = value.onChange(() => {
    told.push("first");
    stopFirst();
  });
  value.onChange(() => told.push("second"));
  value.set("b");
  value.set("c");
  expect(told).toEqual(["first", "second", "second"]);
});
