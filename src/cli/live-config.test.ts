import { afterEach, beforeEach, expect, test } from "vitest";
import type { CreateOptions, OptionReader, ProviderModule, VmRequest } from "../../providers/contract.ts";
import { eagerClock } from "../../test/fakes/eager-clock.ts";
import { FakeProvider } from "../../test/fakes/fake-provider.ts";
import { FakeApi, type FakeApiServer, failure, serveFakeApi } from "../../test/fakes/kubernetes/index.ts";
import { CONFIG_MAP, watchConfig } from "../adaptor/config-watch.ts";
import { LiveSettings } from "../adaptor/live-settings.ts";
import { invalidConfig } from "../errors/index.ts";
import { ClusterClient } from "../kubernetes/client/index.ts";
import { LiveValue, type Log, type LogLevel, Secret, silentLog, systemExec } from "../platform/index.ts";
import { readAdaptorConfig } from "./config.ts";
import { configReader } from "./config-reader.ts";

const NAMESPACE = "own";
const never = new AbortController().signal;
const creating: CreateOptions = { signal: never, onId: () => undefined, onProgress: () => undefined };

const vmRequest = (name: string): VmRequest => ({
  name,
  tags: {},
  userData: new Secret(""),
  size: { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 },
  image: "",
  dedicatedTunnelInterface: false,
  externalNetworkInterface: false,
  volumes: [],
});

/** A cloud whose VMs are made from an image; each set of options is a provider of its own. */
class Clouds {
  readonly made: { readonly image: string; readonly provider: FakeProvider }[] = [];
  onClose: (image: string) => void = () => undefined;
  readonly module: ProviderModule = {
    name: "fake",
    options: [
      { flag: "image", env: "FAKE_IMAGE", kind: "string", default: "first", live: true, help: "" },
      { flag: "place", env: "FAKE_PLACE", kind: "string", default: "here", help: "" },
    ],
    create: async (_context, options: OptionReader) => {
      const image = options.string("image");
      if (image === "broken") throw invalidConfig("FAKE_IMAGE=broken: there is no such image");
      const provider = new FakeProvider();
      provider.close = async () => this.onClose(image);
      this.made.push({ image, provider });
      return provider;
    },
  };

  /** Names of the VMs that were made from an image. */
  vmsOf(image: string): readonly string[] {
    return this.made.filter((one) => one.image === image).flatMap(({ provider }) => [...provider.vms.keys()]);
  }
}

/** A log that can be waited for. */
class HeardLog implements Log {
  readonly lines: string[] = [];
  #wake: () => void = () => undefined;
  readonly error = (text: string): void => this.#hear(text);
  readonly warn = (text: string): void => this.#hear(text);
  readonly info = (text: string): void => this.#hear(text);
  readonly debug = (): void => undefined;
  readonly child = (): Log => silentLog;

  #hear(text: string): void {
    this.lines.push(text);
    this.#wake();
  }

  async until(text: string, times = 1): Promise<void> {
    while (this.lines.filter((line) => line.includes(text)).length < times)
      await new Promise<void>((resolve) => (this.#wake = resolve));
  }
}

let api: FakeApi;
let server: FakeApiServer;
let client: ClusterClient;
let clouds: Clouds;
let log: HeardLog;
let logLevel: LiveValue<LogLevel>;
let settings: LiveSettings;
let stop: AbortController;
let problems: string[];
let watching: Promise<void>;

const configMap = (data: Readonly<Record<string, string>>) =>
  api.put("configmaps", { metadata: { name: CONFIG_MAP, namespace: NAMESPACE }, data });

const COUNTS = "changed settings count from now on";

beforeEach(async () => {
  api = new FakeApi();
  server = await serveFakeApi(api);
  clouds = new Clouds();
  log = new HeardLog();
  logLevel = new LiveValue<LogLevel>("info");
  stop = new AbortController();
  problems = [];
  const about = { clock: eagerClock, exec: systemExec, log };
  client = await ClusterClient.open({ ...about, userAgent: "test" }, server.access);
  const { module } = clouds;
  const surroundings = { flags: new Map(), env: {}, hostname: "h" };
  const config = readAdaptorConfig(module, surroundings);
  settings = await LiveSettings.open(config, module, { ...about, logLevel, onCall: () => undefined });
  const reader = configReader({ module, surroundings, config, explicitKeys: new Set() });
  configMap({});
  watching = watchConfig(
    { ...about, client, namespace: NAMESPACE, settings, reader, onProblem: (text) => problems.push(text) },
    stop.signal,
  );
});

afterEach(async () => {
  stop.abort();
  await watching;
  await settings.close();
  client[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

test("a new image is used for new VMs; the create that is under way ends with the old one, and no VM is lost", async () => {
  const [first] = clouds.made;
  if (first === undefined) throw new Error("no provider was made");
  const release = first.provider.hold("create-before");
  const underWay = settings.provider.create(vmRequest("vm-1"), creating);
  configMap({ FAKE_IMAGE: "second" });
  await log.until(COUNTS);
  await settings.provider.create(vmRequest("vm-2"), creating);
  release();
  expect((await underWay).name).toBe("vm-1");
  expect([clouds.vmsOf("first"), clouds.vmsOf("second")]).toEqual([["vm-1"], ["vm-2"]]);
});

test("limit and log level follow the ConfigMap, and what the lifecycle reads tells of it", async () => {
  const limits: number[] = [];
  settings.sandboxConfig.onChange(() => limits.push(settings.sandboxConfig.current().limit));
  configMap({ PEERPODS_LIMIT_PER_NODE: "3", PEERPODS_LOG_LEVEL: "debug" });
  await log.until(COUNTS);
  configMap({});
  await log.until(COUNTS, 2);
  expect([limits, logLevel.current(), clouds.made.length]).toEqual([[3, 10], "info", 1]);
});

test("what the provider refuses keeps its old value, is told by name, and keeps the rest from nothing", async () => {
  configMap({ FAKE_IMAGE: "broken", PEERPODS_LIMIT_PER_NODE: "4", INITDATA: "not initdata" });
  await log.until(COUNTS);
  expect(settings.sandboxConfig.current()).toMatchObject({ limit: 4, globalInitdata: undefined });
  expect(clouds.made.map(({ image }) => image)).toEqual(["first"]);
  expect(settings.status.wrong.map(({ key }) => key).toSorted()).toEqual(["FAKE_IMAGE", "INITDATA"]);
  await log.until("FAKE_IMAGE is wrong");
  expect(problems.join("\n")).toContain("FAKE_IMAGE=broken: there is no such image");
  configMap({ FAKE_IMAGE: "good", PEERPODS_LIMIT_PER_NODE: "4" });
  await log.until(COUNTS, 2);
  expect([settings.status.wrong, clouds.made.at(-1)?.image]).toEqual([[], "good"]);
});

test("unknown keys and those that need a restart are told once, however often the map is read", async () => {
  configMap({ FAKE_PLACE: "there", FAKE_IMAG: "x" });
  await log.until("FAKE_IMAG is unknown");
  configMap({ FAKE_PLACE: "there", FAKE_IMAG: "x", PEERPODS_LIMIT_PER_NODE: "4" });
  await log.until(COUNTS);
  expect(problems).toEqual([
    expect.stringContaining("FAKE_IMAG is unknown: is no setting of provider fake"),
    expect.stringContaining("FAKE_PLACE has changed and: counts when"),
  ]);
  expect(settings.status).toMatchObject({
    source: `ConfigMap ${NAMESPACE}/${CONFIG_MAP}`,
    trouble: null,
    unknown: [{ key: "FAKE_IMAG", text: expect.stringContaining("did you mean FAKE_IMAGE?") }],
    needRestart: [{ key: "FAKE_PLACE" }],
  });
});

test("a ConfigMap that is deleted or may not be read leaves the values in force, and status says why", async () => {
  configMap({ PEERPODS_LIMIT_PER_NODE: "4" });
  await log.until(COUNTS);
  api.remove("configmaps", CONFIG_MAP, NAMESPACE);
  await log.until(`${CONFIG_MAP} was deleted`);
  expect(settings.sandboxConfig.current().limit).toBe(4);
  configMap({ PEERPODS_LIMIT_PER_NODE: "5" });
  await log.until(COUNTS, 2);
  expect([settings.sandboxConfig.current().limit, settings.status.trouble]).toEqual([5, null]);
  api.fail({ resource: "configmaps", answer: failure(403, "Forbidden", "configmaps is forbidden") });
  api.endWatches();
  await log.until("configmaps cannot be followed now");
  expect(settings.status.trouble).toContain("forbidden");
  expect(settings.sandboxConfig.current().limit).toBe(5);
});

test("a provider that is made for settings that are then refused is closed", async () => {
  const closed: string[] = [];
  clouds.onClose = (image) => void closed.push(image);
  configMap({ POD_VM_POOL: "1", FAKE_IMAGE: "second" });
  await log.until(COUNTS);
  expect(clouds.made.map(({ image }) => image)).toEqual(["first", "second", "second"]);
  expect(closed).toEqual(["second", "first"]);
});

test("a change of what VMs are made from outdates those that wait in the pool", async () => {
  const revision = (): string => settings.sandboxConfig.current().vmRevision;
  const before = revision();
  configMap({ PEERPODS_LIMIT_PER_NODE: "4" });
  await log.until(COUNTS);
  expect(revision()).toBe(before);
  configMap({ PEERPODS_LIMIT_PER_NODE: "4", FAKE_IMAGE: "second" });
  await log.until(COUNTS, 2);
  expect(revision()).not.toBe(before);
});
