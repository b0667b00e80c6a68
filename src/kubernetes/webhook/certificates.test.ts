import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FakeApi, type FakeApiServer, failure, serveFakeApi } from "../../../test/fakes/kubernetes/index.ts";
import { type Clock, silentLog, systemClock } from "../../platform/index.ts";
import {
  type Certified,
  inspectCertificate,
  issueAuthority,
  issueServerCertificate,
} from "../../tls/index.ts";
import { ClusterClient } from "../client/index.ts";
import { type CertificateSource, clusterCertificates, folderCertificates } from "./certificates.ts";

const DAY_MS = 24 * 3_600_000;
const NAME = "peer-pods-webhook";
const CONFIGURATIONS = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
const options = {
  namespace: "space",
  secretName: "certs",
  configurationName: NAME,
  dnsNames: ["hook.space.svc"],
  validityMs: 90 * DAY_MS,
  overlapMs: 3_600_000,
  checkIntervalMs: 30_000,
};

/** A clock on which time passes when the test says so, once all its sleepers sleep. */
class SteppedClock implements Clock {
  #nowMs = Date.now();
  readonly #sleepers: Set<() => void> = new Set();
  #onSleep: () => void = () => undefined;

  wallMs = (): number => this.#nowMs;
  monotonicMs = (): number => this.#nowMs;
  timeout = (ms: number): AbortSignal => systemClock.timeout(ms);
  schedule = (ms: number, fn: () => void): (() => void) => systemClock.schedule(ms, fn);

  sleep(_ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#sleepers.add(resolve);
      signal?.addEventListener("abort", () => resolve(), { once: true });
      this.#onSleep();
    });
  }

  /** Until so many sleep. */
  async asleep(count: number): Promise<void> {
    while (this.#sleepers.size < count) {
      await new Promise<void>((resolve) => {
        this.#onSleep = resolve;
      });
    }
  }

  /** Lets time pass, and all that woke up work until they sleep again. */
  async pass(ms: number): Promise<void> {
    this.#nowMs += ms;
    const woken = [...this.#sleepers];
    this.#sleepers.clear();
    for (const wake of woken) wake();
    await this.asleep(woken.length);
  }
}

/** A replica of the webhook: what it serves with, newest last. */
class Replica implements AsyncDisposable {
  readonly served: Certified[] = [];
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(source: CertificateSource) {
    this.#running = source.run(async (certificate) => void this.served.push(certificate), this.#stop.signal);
  }

  get serving(): string {
    return this.served.at(-1)?.certPem ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}

describe("certificates of its own", () => {
  let api: FakeApi;
  let server: FakeApiServer;
  let client: ClusterClient;
  let clock: SteppedClock;

  beforeEach(async () => {
    api = new FakeApi();
    server = await serveFakeApi(api);
    client = await ClusterClient.open(
      { clock: systemClock, log: silentLog, userAgent: "test" },
      server.access,
    );
    clock = new SteppedClock();
    api.put("secrets", { metadata: { name: "certs", namespace: "space" }, type: "Opaque" });
    api.put(CONFIGURATIONS, {
      metadata: { name: NAME },
      webhooks: [
        { name: "mwebhook.peerpods.io", clientConfig: { service: { name: NAME } }, timeoutSeconds: 5 },
      ],
    });
  });

  afterEach(async () => {
    client[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const replica = (): Replica => new Replica(clusterCertificates({ clock, log: silentLog, client }, options));
  const bundle = (): readonly string[] => {
    const { webhooks } = api.get(CONFIGURATIONS, NAME) ?? {};
    const text = JSON.stringify(webhooks).match(/"caBundle":"([^"]*)"/)?.[1] ?? "";
    return Buffer.from(text, "base64")
      .toString()
      .split(/(?<=-----END CERTIFICATE-----\n)/);
  };
  const isTrusted = (certPem: string): boolean => bundle().some(inspectCertificate(certPem).isIssuedBy);
  const secretData = (): unknown => api.get("secrets", "certs", "space")?.["data"];

  test("are made, made known to the API server, and only then served", async () => {
    api.fail({ verb: "patch", times: 1, answer: failure(503, "ServiceUnavailable", "not now") });
    await using one = replica();
    await clock.asleep(1);
    expect(one.served).toEqual([]);
    await clock.pass(1000);
    expect(isTrusted(one.serving)).toBe(true);
    expect(api.get(CONFIGURATIONS, NAME)?.["webhooks"]).toMatchObject([
      { name: "mwebhook.peerpods.io", clientConfig: { service: { name: NAME } }, timeoutSeconds: 5 },
    ]);
  });

  test("are the same for two replicas that start at once", async () => {
    await using one = replica();
    await using other = replica();
    await clock.asleep(2);
    expect(one.serving).toBe(other.serving);
    expect(isTrusted(one.serving)).toBe(true);
    expect(api.calls.filter((call) => call.verb === "update").length).toBeLessThanOrEqual(2);
  });

  test("are asked for no more than is needed, and nothing is written while they are good", async () => {
    await using _one = replica();
    await clock.asleep(1);
    api.calls.length = 0;
    await clock.pass(30_000);
    expect(api.calls).toEqual([
      { verb: "get", resource: "secrets", object: "space/certs" },
      { verb: "get", resource: CONFIGURATIONS, object: NAME },
    ]);
  });

  test("are renewed in time, and every replica serves what the API server trusts all along", async () => {
    await using one = replica();
    await using other = replica();
    await clock.asleep(2);
    for (let day = 0; day < 3 * 365; day += 25) {
      await clock.pass(25 * DAY_MS);
      for (const { serving } of [one, other]) {
        expect(isTrusted(serving)).toBe(true);
        expect(inspectCertificate(serving).notAfterMs).toBeGreaterThan(clock.wallMs());
      }
    }
    expect(new Set(one.served.map(({ certPem }) => certPem)).size).toBeGreaterThan(12);
  });

  test("are put back into a Secret that was emptied, and into a caBundle that was overwritten", async () => {
    await using one = replica();
    await clock.asleep(1);
    const before = secretData();
    api.put("secrets", { metadata: { name: "certs", namespace: "space" }, type: "Opaque" });
    api.put(CONFIGURATIONS, {
      metadata: { name: NAME },
      webhooks: [
        { name: "other", clientConfig: {} },
        { name: "mwebhook.peerpods.io", clientConfig: { caBundle: "" } },
      ],
    });
    await clock.pass(30_000);
    expect(secretData()).toEqual(before);
    expect(isTrusted(one.serving)).toBe(true);
    expect(one.served).toHaveLength(1);
  });

  test("go on being served while the API server is away, and wait for objects that are not there yet", async () => {
    api.remove("secrets", "certs", "space");
    await using one = replica();
    await clock.asleep(1);
    expect(one.served).toEqual([]);
    api.put("secrets", { metadata: { name: "certs", namespace: "space" }, type: "Opaque" });
    await clock.pass(1000);
    expect(one.served).toHaveLength(1);
    api.fail({});
    await clock.pass(30_000);
    expect(one.served).toHaveLength(1);
  });
});

describe("certificates in a folder", () => {
  test("are served as they change, once both files belong together", async () => {
    const folder = await mkdtemp(join(tmpdir(), "webhook-certs-"));
    const authority = await issueAuthority({ name: "test", nowMs: Date.now(), validityMs: DAY_MS });
    const issue = () =>
      issueServerCertificate(authority, { dnsNames: ["a"], nowMs: Date.now(), validityMs: DAY_MS });
    const put = async (name: string, text: string): Promise<void> => {
      await writeFile(join(folder, ".new"), text);
      await rename(join(folder, ".new"), join(folder, name));
    };
    const clock = new SteppedClock();
    try {
      await using one = new Replica(folderCertificates({ clock, log: silentLog }, folder));
      await clock.asleep(1);
      const [first, second] = await Promise.all([issue(), issue()]);
      await put("tls.crt", first.certPem);
      await put("tls.key", first.keyPem.reveal());
      await clock.pass(10_000);
      await put("tls.crt", second.certPem);
      await clock.pass(10_000);
      expect(one.served.map(({ certPem }) => certPem)).toEqual([first.certPem]);
      await put("tls.key", second.keyPem.reveal());
      await clock.pass(10_000);
      await clock.pass(10_000);
      expect(one.served.map(({ certPem }) => certPem)).toEqual([first.certPem, second.certPem]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
