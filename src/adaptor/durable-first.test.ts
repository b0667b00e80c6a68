import { expect, test } from "vitest";
import { FakeNode, FakeProxy } from "../../test/fakes/fake-node.ts";
import { FakeProvider } from "../../test/fakes/fake-provider.ts";
import { durableFirst } from "./durable-first.ts";

test("what changes something waits until the journal is on the disk; what only asks does not", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const parts = { provider: new FakeProvider(), networking: new FakeNode(), proxy: new FakeProxy() };
  const { provider, networking, proxy } = durableFirst({ durable: () => promise }, parts);
  const { signal } = new AbortController();
  const made = Promise.all([networking.setUp("tunnel", signal), proxy.putSandbox("s1", "/dir")]);
  expect(await provider.get({ name: "none" }, signal)).toBeUndefined();
  expect(await networking.inspect("/netns", signal)).toContain("/netns");
  expect([parts.networking.tunnels.size, parts.proxy.sandboxes.size]).toEqual([0, 0]);
  resolve();
  await made;
  expect([parts.networking.tunnels.size, parts.proxy.sandboxes.size]).toEqual([1, 1]);
  expect(provider.limits).toBe(parts.provider.limits);
});

test("a journal that cannot be brought to the disk keeps things from being made, and not from being removed", async () => {
  const parts = { provider: new FakeProvider(), networking: new FakeNode(), proxy: new FakeProxy() };
  const effects = durableFirst({ durable: () => Promise.reject(new Error("the disk fails")) }, parts);
  const { signal } = new AbortController();
  await parts.networking.setUp("old");
  await parts.proxy.putSandbox("old", "/dir");
  await expect(effects.networking.setUp("new", signal)).rejects.toThrow("the disk fails");
  await expect(effects.proxy.putSandbox("new", "/dir")).rejects.toThrow("the disk fails");
  await effects.networking.tearDown("old", signal);
  await effects.proxy.closeSandbox("old");
  expect([parts.networking.tunnels.size, parts.proxy.sandboxes.size]).toEqual([0, 0]);
});
