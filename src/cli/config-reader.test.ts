import { expect, test } from "vitest";
import { mockProvider } from "../../providers/mock/index.ts";
import type { ConfigNote, ConfigReader, ConfigReading } from "../adaptor/index.ts";
import { adaptorOptionGroups, flatten, readAdaptorConfig } from "./config.ts";
import { configReader } from "./config-reader.ts";
import { parseFlags } from "./go-flags.ts";

type Env = Readonly<Record<string, string>>;

/** A reader as of an adaptor that was started with this environment and command line. */
function started(env: Env, args: readonly string[] = [], explicitKeys?: ReadonlySet<string>): ConfigReader {
  const specs = flatten(adaptorOptionGroups(mockProvider));
  const surroundings = { flags: parseFlags("mock", specs, [...args]).values, env, hostname: "h" };
  const config = readAdaptorConfig(mockProvider, surroundings);
  return configReader({ module: mockProvider, surroundings, config, explicitKeys });
}

function put(reader: ConfigReader, data: Env): ConfigReading {
  const reading = reader.read(data);
  reader.accept(reading);
  return reading;
}

const keys = (notes: readonly ConfigNote[]): readonly string[] => notes.map(({ key }) => key);

test("a live key counts at once, one that is removed falls back to its default, and nothing else changes", () => {
  const data = { PEERPODS_LIMIT_PER_NODE: "5", PROXY_TIMEOUT: "1m" };
  const reader = started(data);
  expect(put(reader, data).changed).toEqual([]);
  const raised = put(reader, { ...data, PEERPODS_LIMIT_PER_NODE: "7" });
  expect([raised.changed, raised.config.limits.maxVms]).toEqual([["PEERPODS_LIMIT_PER_NODE"], 7]);
  const removed = put(reader, { PROXY_TIMEOUT: "1m" });
  expect([removed.changed, removed.config.limits.maxVms]).toEqual([["PEERPODS_LIMIT_PER_NODE"], 10]);
  expect(removed.config.limits.proxyTimeoutMs).toBe(60_000);
});

test("an empty value counts as unset, as at a start", () => {
  const reader = started({ PEERPODS_LIMIT_PER_NODE: "5" });
  expect(put(reader, { PEERPODS_LIMIT_PER_NODE: "" }).overridden).toHaveLength(1);
  const other = started({});
  put(other, { PEERPODS_LIMIT_PER_NODE: "5" });
  expect(put(other, { PEERPODS_LIMIT_PER_NODE: "" }).config.limits.maxVms).toBe(10);
});

test("a wrong value is named and leaves the old one; the others count", () => {
  const data = { PEERPODS_LIMIT_PER_NODE: "5", PROXY_TIMEOUT: "1m" };
  const reader = started(data);
  put(reader, data);
  const reading = put(reader, { PEERPODS_LIMIT_PER_NODE: "8", PROXY_TIMEOUT: "5" });
  expect(reading.wrong).toEqual([
    { key: "PROXY_TIMEOUT", text: expect.stringMatching(/PROXY_TIMEOUT=5.*expected a Go duration/) },
  ]);
  expect([reading.config.limits.maxVms, reading.config.limits.proxyTimeoutMs]).toEqual([8, 60_000]);
  expect(put(reader, { PEERPODS_LIMIT_PER_NODE: "8", PROXY_TIMEOUT: "2m" }).changed).toEqual([
    "PROXY_TIMEOUT",
  ]);
});

test("values that do not go together are refused by name, and keep no other from counting", () => {
  const reader = started({});
  const reading = put(reader, { POD_VM_POOL: "default=x", PEERPODS_LIMIT_PER_NODE: "3" });
  expect(keys(reading.wrong)).toEqual(["POD_VM_POOL"]);
  expect([reading.config.limits.maxVms, reading.config.podVm.pool]).toEqual([3, []]);
});

test("a key that turned out to be of no use is refused, and asked for again when it changes", () => {
  const reader = started({});
  const reading = reader.read(
    { MOCK_IMAGE: "a", MOCK_TAGS: "k=v" },
    new Map([["MOCK_IMAGE", "no such image"]]),
  );
  expect(reading.wrong).toEqual([{ key: "MOCK_IMAGE", text: "no such image" }]);
  expect([reading.changed, reading.ofProvider]).toEqual([["MOCK_TAGS"], ["MOCK_TAGS"]]);
});

test("what only a start reads is named as long as it differs, and stays as it was", () => {
  const reader = started({ VXLAN_PORT: "4789" });
  put(reader, { VXLAN_PORT: "4789" });
  const reading = put(reader, { VXLAN_PORT: "8472" });
  expect([keys(reading.needRestart), reading.config.network.vxlanPort]).toEqual([["VXLAN_PORT"], 4789]);
  expect(put(reader, { VXLAN_PORT: "8472" }).needRestart).toHaveLength(1);
  expect(put(reader, { VXLAN_PORT: "4789" }).needRestart).toEqual([]);
});

test("what a flag gives is not changed; lists and tags add up as at a start", () => {
  const reader = started({}, ["-peerpods-limit-per-node=2", "-mock-tags=team=a"]);
  const reading = put(reader, { PEERPODS_LIMIT_PER_NODE: "9", MOCK_TAGS: "env=test" });
  expect(reading.overridden).toEqual([
    { key: "PEERPODS_LIMIT_PER_NODE", text: expect.stringContaining("a flag") },
  ]);
  expect(reading.config.limits.maxVms).toBe(2);
  expect(reading.config.providerOptions.tags("mock-tags")).toEqual({ env: "test", team: "a" });
});

test("what the container sets itself is not changed, known from its pod or guessed from the first look", () => {
  const env = { PEERPODS_LIMIT_PER_NODE: "2", PROXY_TIMEOUT: "1m" };
  const known = started(env, [], new Set(["PEERPODS_LIMIT_PER_NODE"]));
  const first = put(known, { PEERPODS_LIMIT_PER_NODE: "9", PROXY_TIMEOUT: "2m" });
  expect([keys(first.overridden), first.changed]).toEqual([["PEERPODS_LIMIT_PER_NODE"], ["PROXY_TIMEOUT"]]);
  const guessed = started(env);
  const look = put(guessed, { PEERPODS_LIMIT_PER_NODE: "9", PROXY_TIMEOUT: "1m" });
  expect([keys(look.overridden), look.changed]).toEqual([["PEERPODS_LIMIT_PER_NODE"], []]);
  expect(put(guessed, { PROXY_TIMEOUT: "1m" }).config.limits.maxVms).toBe(2);
});

test("unknown keys are named, with what they were perhaps meant to be; keys of the other processes are known", () => {
  const reading = put(started({}), {
    PEERPODS_LIMIT_PER_NOD: "5",
    AZURE_REGION: "eastus",
    CLOUD_PROVIDER: "mock",
    PEERPODS_HOLD_TIMEOUT: "10m",
    HTTPS_PROXY: "http://proxy",
  });
  expect(reading.unknown).toEqual([
    { key: "PEERPODS_LIMIT_PER_NOD", text: expect.stringContaining("did you mean PEERPODS_LIMIT_PER_NODE?") },
    { key: "AZURE_REGION", text: expect.stringContaining("no setting of provider mock") },
  ]);
});

test("no value of a secret is shown, and a secret is not changed", async () => {
  const { azureModule } = await import("../../providers/azure/module.ts");
  const uuid = "00000000-0000-4000-8000-000000000001";
  const group = `/subscriptions/${uuid}/resourceGroups/g/providers`;
  const env = {
    AZURE_CLIENT_ID: uuid,
    AZURE_TENANT_ID: uuid,
    AZURE_CLIENT_SECRET: "one",
    AZURE_SUBSCRIPTION_ID: uuid,
    AZURE_REGION: "eastus",
    AZURE_RESOURCE_GROUP: "g",
    AZURE_SUBNET_ID: `${group}/Microsoft.Network/virtualNetworks/v/subnets/s`,
    AZURE_IMAGE_ID: `${group}/Microsoft.Compute/images/i`,
  };
  const surroundings = { flags: new Map(), env, hostname: "h" };
  const config = readAdaptorConfig(azureModule, surroundings);
  const reader = configReader({ module: azureModule, surroundings, config, explicitKeys: new Set() });
  put(reader, env);
  const reading = put(reader, {
    ...env,
    AZURE_CLIENT_SECRET: "canary-secret",
    AZURE_RESOURCE_GROUP: "other",
    AZURE_INSTANCE_SIZE: "Standard_DC4as_v5",
  });
  expect(reading.changed).toEqual(["AZURE_INSTANCE_SIZE"]);
  expect(keys(reading.needRestart)).toEqual(["AZURE_CLIENT_SECRET", "AZURE_RESOURCE_GROUP"]);
  expect(JSON.stringify([reading.needRestart, reading.wrong])).not.toContain("canary");
});
