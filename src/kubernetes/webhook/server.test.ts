import { once } from "node:events";
import { request as plainRequest } from "node:http";
import { Agent, request } from "node:https";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { FakeClock } from "../../../test/fakes/fake-clock.ts";
import { silentLog } from "../../platform/index.ts";
import { type Certified, issueAuthority, issueServerCertificate, parseTlsProfile } from "../../tls/index.ts";
import type { WebhookNotice } from "./notices.ts";
import { WebhookServer, type WebhookServerOptions } from "./server.ts";
import { testPolicy } from "./test-policy.ts";

const DAY_MS = 24 * 3_600_000;
const options: WebhookServerOptions = {
  address: "127.0.0.1",
  port: 0,
  healthPort: 0,
  tlsProfile: parseTlsProfile({ minVersion: "", cipherSuites: [] }),
};
const review = (spec: unknown) => ({
  apiVersion: "admission.k8s.io/v1",
  kind: "AdmissionReview",
  request: {
    uid: "u1",
    operation: "CREATE",
    namespace: "team-a",
    resource: { group: "", version: "v1", resource: "pods" },
    object: { metadata: { name: "p" }, spec },
  },
});
const kataPod = { runtimeClassName: "kata-remote", containers: [{ name: "c0", resources: {} }] };

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly connection: string | undefined;
}
interface Sent {
  readonly path?: string;
  readonly method?: string;
  readonly type?: string;
  readonly body?: string;
  readonly agent?: Agent;
}

let authority: Certified;
let certificate: Certified;

const newCertificate = (): Promise<Certified> =>
  issueServerCertificate(authority, { dnsNames: ["localhost"], nowMs: Date.now(), validityMs: DAY_MS });

beforeAll(async () => {
  authority = await issueAuthority({ name: "test", nowMs: Date.now(), validityMs: DAY_MS });
  certificate = await newCertificate();
});

describe("the webhook's server", () => {
  let clock: FakeClock;
  let server: WebhookServer;
  let notices: WebhookNotice[];

  const startWith = (over: Partial<WebhookServerOptions> = {}) =>
    WebhookServer.start(
      { clock, log: silentLog, policy: testPolicy(), onNotice: (notice) => notices.push(notice) },
      { ...options, ...over },
    );

  beforeEach(async () => {
    clock = new FakeClock();
    notices = [];
    server = await startWith();
  });

  afterEach(async () => {
    await server[Symbol.asyncDispose]();
  });

  const send = (sent: Sent = {}): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const { path = "/mutate-v1-pod", method = "POST", type = "application/json" } = sent;
      const { body = JSON.stringify(review(kataPod)) } = sent;
      const outgoing = request(
        {
          host: "localhost",
          port: server.ports.reviews,
          ca: authority.certPem,
          path,
          method,
          agent: sent.agent ?? false,
          headers: { "content-type": type },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
          incoming.on("end", () =>
            resolve({
              status: incoming.statusCode ?? 0,
              body: Buffer.concat(chunks).toString(),
              connection: incoming.headers.connection,
            }),
          );
        },
      );
      outgoing.on("error", reject);
      outgoing.end(method === "GET" ? undefined : body);
    });
  const health = (path: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const outgoing = plainRequest(
        { host: "127.0.0.1", port: server.ports.health, path, agent: false },
        (incoming) => resolve(incoming.resume().statusCode),
      );
      outgoing.on("error", reject);
      outgoing.end();
    });
  const served = async (): Promise<string> => {
    const socket = connectTls({
      port: server.ports.reviews,
      host: "127.0.0.1",
      servername: "localhost",
      ca: authority.certPem,
    });
    await once(socket, "secureConnect");
    const { raw } = socket.getPeerCertificate();
    socket.destroy();
    return raw.toString("base64");
  };

  test("is alive before it has a certificate, and ready with one", async () => {
    expect([await health("/healthz"), await health("/readyz")]).toEqual([200, 503]);
    await server.serve(certificate);
    expect([await health("/healthz"), await health("/readyz"), await health("/x")]).toEqual([200, 200, 404]);
  });

  test("answers a review", async () => {
    await server.serve(certificate);
    const { status, body } = await send();
    expect(status).toBe(200);
    const { response } = JSON.parse(body);
    expect(response).toMatchObject({ uid: "u1", allowed: true, patchType: "JSONPatch" });
    expect(JSON.parse(Buffer.from(response.patch, "base64").toString())).toEqual(
      ["requests", "limits"].map((side) => ({
        op: "add",
        path: `/spec/containers/0/resources/${side}`,
        value: { "kata.peerpods.io/vm": "1" },
      })),
    );
  });

  test("denies what it cannot read, and goes on", async () => {
    await server.serve(certificate);
    const codeOf = async (sent: Sent): Promise<unknown> => {
      const { response } = JSON.parse((await send(sent)).body);
      return { allowed: response.allowed, code: response.status?.code };
    };
    const denied = (code: number) => ({ allowed: false, code });
    expect(await codeOf({ body: "{not JSON" })).toEqual(denied(400));
    expect(await codeOf({ body: "" })).toEqual(denied(400));
    expect(await codeOf({ body: '{"apiVersion":"admission.k8s.io/v1beta1"}' })).toEqual(denied(400));
    expect(await codeOf({ type: "text/plain" })).toEqual(denied(400));
    expect(await codeOf({ body: JSON.stringify(review(null)) })).toEqual({ allowed: true, code: undefined });
    expect(await codeOf({ body: `"${"x".repeat(8 * 1024 * 1024)}"` })).toEqual(denied(413));
    expect((await send({ path: "/other" })).status).toBe(404);
    expect((await send({ method: "GET" })).status).toBe(405);
    expect((await send()).status).toBe(200);
    const outcomes = notices.flatMap((notice) => (notice.kind === "review" ? [notice.outcome] : []));
    expect(outcomes.toSorted()).toEqual(["changed", ...new Array(5).fill("refused"), "untouched"]);
  });

  test("is not disturbed by clients that break off, in their handshake or in their request", async () => {
    await server.serve(certificate);
    const { reviews } = server.ports;
    const garbage = connect(reviews, "127.0.0.1");
    garbage.write("GET / HTTP/1.0\r\n\r\n");
    garbage.on("error", () => undefined); // A reset is an end too.
    await once(garbage, "close");
    const socket = connectTls({
      port: reviews,
      host: "127.0.0.1",
      servername: "localhost",
      ca: authority.certPem,
    });
    await once(socket, "secureConnect");
    socket.write(
      "POST /mutate-v1-pod HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    );
    socket.destroy();
    await once(socket, "close");
    expect((await send()).status).toBe(200);
  });

  test("serves a new certificate to new connections and keeps the old ones", async () => {
    await server.serve(certificate);
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: authority.certPem });
    try {
      expect((await send({ agent })).status).toBe(200);
      const before = await served();
      await server.serve(await newCertificate());
      expect(await served()).not.toBe(before);
      expect((await send({ agent })).status).toBe(200);
    } finally {
      agent.destroy();
    }
  });

  test("at its end is not ready at once, goes on answering for a time, and asks to be left", async () => {
    await server.serve(certificate);
    const drained = server.drain(5000);
    expect([await health("/healthz"), await health("/readyz")]).toEqual([200, 503]);
    expect(await send()).toMatchObject({ status: 200, connection: "close" });
    await clock.advance(5000);
    await drained;
    await expect(send()).rejects.toThrow(/ECONNREFUSED/);
  });

  test("speaks no older TLS than it is told to", async () => {
    await using strict = await startWith({
      tlsProfile: parseTlsProfile({ minVersion: "VersionTLS13", cipherSuites: [] }),
    });
    await strict.serve(certificate);
    const dial = (maxVersion: "TLSv1.2" | "TLSv1.3") =>
      connectTls({
        port: strict.ports.reviews,
        host: "127.0.0.1",
        servername: "localhost",
        ca: authority.certPem,
        maxVersion,
      });
    await expect(once(dial("TLSv1.2"), "secureConnect")).rejects.toThrow(/version/);
    const socket = dial("TLSv1.3");
    await once(socket, "secureConnect");
    socket.destroy();
  });

  test("says which port is taken", async () => {
    await server.serve(certificate);
    await expect(startWith({ healthPort: server.ports.health })).rejects.toThrow(
      /PEERPODS_WEBHOOK_HEALTH_PORT=/,
    );
    await using other = await startWith({ port: server.ports.reviews });
    await expect(other.serve(certificate)).rejects.toThrow(
      /PEERPODS_WEBHOOK_PORT=\d+: the port cannot be listened on/,
    );
    expect(other.notReady).toBeDefined();
  });
});
