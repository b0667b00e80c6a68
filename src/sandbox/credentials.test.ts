import { expect, test } from "vitest";
import { settle } from "../../test/fakes/fake-clock.ts";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { Secret } from "../platform/index.ts";
import type { CustomIdentity } from "../tls/index.ts";
import { refreshCredentialsForever } from "./credentials.ts";

const never = new AbortController().signal;

test("certificate files that change reach the links of running pods, and broken ones change nothing", async () => {
  let content = "first";
  const load = async (): Promise<CustomIdentity> => {
    if (content === "broken") throw new Error("CERT_FILE holds no certificate");
    return {
      serverName: "podvm-server",
      caPem: "ca",
      clientCertPem: content,
      clientKeyPem: new Secret("key"),
    };
  };
  using node = new FakeSandboxes({ tls: { mode: "files", load } });
  await node.manager.create(node.request("s1"), never);
  await node.manager.start("s1", never);
  await node.manager.create(node.request("s2"), never);
  const given = (): string | undefined => node.proxy.links.get("s1")?.tls?.clientCertPem;
  const ending = new AbortController();
  node.proxy.links.clear();
  const running = refreshCredentialsForever(node.deps, ending.signal);
  await settle();
  expect(given()).toBe("first");
  content = "broken";
  await node.clock.advance(60_000);
  expect(given()).toBe("first");
  content = "second";
  await node.clock.advance(60_000);
  expect(given()).toBe("second");
  expect(node.proxy.links.has("s2")).toBe(false);
  ending.abort(new Error("over"));
  await expect(running).rejects.toThrow("over");
});

test("with keys of their own, pods are left alone", async () => {
  using node = new FakeSandboxes();
  await refreshCredentialsForever(node.deps, never);
  expect(node.clock.waiting).toBe(0);
});
