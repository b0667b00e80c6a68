import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { type ConnectionOptions, connect } from "node:tls";
import { describe, expect, test } from "vitest";
import { AgentServiceDefinition } from "../../../src/gen/agent/agent.ts";
import { HealthDefinition } from "../../../src/gen/agent/health.ts";
import { silentLog, systemClock, systemExec } from "../../../src/platform/index.ts";
import { createClient, TtrpcClient } from "../../../src/ttrpc/index.ts";
import { createAgent, PlainRuntime } from "./agent/index.ts";
import { type ForwarderConfig, parseForwarderConfig } from "./apf-config.ts";
import { type Forwarder, startForwarder } from "./forwarder.ts";
import { readSettings } from "./settings.ts";

const fixture = (name: string): string =>
  readFileSync(new URL(`../../../test/fixtures/user-data/${name}`, import.meta.url), "utf8");

const settings = readSettings({ PEERPOD_GUEST_ADDRESS: "127.0.0.1", PEERPOD_GUEST_PORT: "0" });
const recorded = parseForwarderConfig(fixture("apf.json"));
const identity: ConnectionOptions = {
  host: "127.0.0.1",
  servername: "podvm-r2-66e64b32",
  ca: fixture("throwaway-server-ca.crt"),
  cert: fixture("throwaway-client.crt"),
  key: fixture("throwaway-client.key"),
};

const start = (config: ForwarderConfig, agentVersion = "4.1.0", disableTls = false): Promise<Forwarder> => {
  const agent = createAgent({
    clock: systemClock,
    exec: systemExec,
    log: silentLog,
    runtime: new PlainRuntime({}),
    root: "/nonexistent",
    imagesDir: "/nonexistent",
    rootless: true,
    podNetns: "",
    agentVersion,
  });
  return startForwarder({ agent, log: silentLog }, config, { ...settings, disableTls });
};

/** What becomes of a connection: the TLS version, or why it was refused. */
async function dial(options: ConnectionOptions): Promise<string> {
  const socket = connect(options);
  try {
    await once(socket, "secureConnect");
    // With TLS 1.3 a client learns from the first read whether it was accepted.
    const answered = new TtrpcClient(socket);
    await createClient(HealthDefinition, answered).check({ service: "" });
    return socket.getProtocol() ?? "";
  } catch (error) {
    return `refused: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    socket.destroy();
  }
}

describe("the forwarder", () => {
  test("accepts the adaptor's certificate and no other, nor none", async () => {
    const forwarder = await start(recorded);
    const { port } = forwarder;
    expect(await dial({ ...identity, port })).toBe("TLSv1.3");
    const { cert: _cert, key: _key, ...nobody } = identity;
    expect(await dial({ ...nobody, port })).toMatch(/^refused/);
    const self = { cert: recorded.tlsServerCert, key: recorded.tlsServerKey };
    expect(await dial({ ...identity, ...self, port })).toMatch(/^refused/);
    await forwarder.close();
  });

  test("keeps to the TLS profile of apf.json: versions, and suites of TLS 1.2", async () => {
    const strict = await start({ ...recorded, tlsMinVersion: "VersionTLS13" });
    expect(await dial({ ...identity, port: strict.port, maxVersion: "TLSv1.2" })).toMatch(/^refused/);
    await strict.close();
    const suites = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"];
    const picky = await start({ ...recorded, tlsCipherSuites: suites });
    const tls12 = { ...identity, port: picky.port, maxVersion: "TLSv1.2" } as const;
    expect(await dial({ ...tls12, ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" })).toBe("TLSv1.2");
    expect(await dial({ ...tls12, ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" })).toMatch(/^refused/);
    expect(await dial({ ...identity, port: picky.port })).toBe("TLSv1.3");
    await picky.close();
  });

  test("refuses to start with suites under TLS 1.3, with an unknown suite, and without an identity", async () => {
    const suites = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"];
    await expect(
      start({ ...recorded, tlsMinVersion: "VersionTLS13", tlsCipherSuites: suites }),
    ).rejects.toThrow("VersionTLS13");
    await expect(start({ ...recorded, tlsCipherSuites: ["TLS_NULL"] })).rejects.toThrow(
      "TLS_NULL is not known",
    );
    await expect(start({ ...recorded, tlsServerKey: "" })).rejects.toThrow("tls.key");
  });

  test("serves many connections at once, one agent behind them all, also without TLS", async () => {
    const forwarder = await start(recorded, "4.1.0", true);
    const clients = Array.from(
      { length: 50 },
      () => new TtrpcClient(connectTcp(forwarder.port, "127.0.0.1")),
    );
    const versions = await Promise.all(
      clients.map((client) => createClient(HealthDefinition, client).version({ service: "" })),
    );
    expect(new Set(versions.map(({ agentVersion }) => agentVersion))).toEqual(new Set(["4.1.0"]));
    await forwarder.close();
  });
});

describe("GetOOMEvent asked twice", () => {
  const open = async (agentVersion: string) => {
    const forwarder = await start(recorded, agentVersion, true);
    const client = new TtrpcClient(connectTcp(forwarder.port, "127.0.0.1"));
    const agent = createClient(AgentServiceDefinition, client);
    const health = createClient(HealthDefinition, client);
    for (const pending of [agent.getOOMEvent({}), agent.getOOMEvent({})]) pending.catch(() => undefined);
    const stats = agent.statsContainer({ containerId: "none" }).catch((error: Error) => error.message);
    return { forwarder, health, stats };
  };

  test("pends twice on an agent from 3.32.0 on, and other calls are answered", async () => {
    const { forwarder, stats } = await open("3.32.0");
    expect(await stats).toBe("Invalid container id");
    await forwarder.close();
  });

  test("blocks every other call of an older agent but Health", async () => {
    const { forwarder, health, stats } = await open("3.31.0");
    let answered = false;
    void stats.then(() => {
      answered = true;
    });
    for (let i = 0; i < 20; i += 1) expect((await health.check({ service: "" })).status).toBe(1);
    expect(answered).toBe(false);
    await forwarder.close();
    expect(await stats).toMatch(/closed/);
  });
});
