import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, ServerCredentials, type ServerWritableStream } from "@grpc/grpc-js";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import {
  AckStopRequest,
  AttachRequest,
  CloseSandboxRequest,
  Event,
  FailLinkRequest,
  PutLinkRequest,
  PutSandboxRequest,
  RecoveredRequest,
  ReleaseRequest,
  ShimProxyService,
} from "../gen/shimproxy/control.ts";
import { ShimProxyClient } from "./client.ts";

// A newer control plane must drive an older proxy and the reverse, so what version 1 sends is kept as bytes. A change of
// the protocol adds a file for its version and leaves this one alone.

interface Codec {
  encode(message: never): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
}

const epoch = 7n;
const id = "6d58344";
const tls = {
  serverName: "podvm-x",
  clientKeyPem: Buffer.from("key"),
  clientCertPem: Buffer.from("cert"),
  caPem: Buffer.from("ca"),
  minVersion: "VersionTLS13",
  cipherSuites: ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
  skipVerify: true,
};
const volume = {
  targetPath: "/t",
  diskId: "d",
  lun: 1,
  fsType: "ext4",
  fsGroup: "2000",
  encryptType: "luks2",
  keyId: "k",
};
const link = { sandboxId: id, state: 3 as const, reason: "reset", breaks: 2 };
const connections = { sandboxId: id, open: 2, ever: true };

/** Every message with every field of version 1 set. */
const MESSAGES: readonly (readonly [name: string, codec: Codec, message: object])[] = [
  [
    "attach",
    AttachRequest,
    { epoch, apiVersions: [1], frameSocket: "/run/peerpod/f.sock", programVersion: "0.1.0" },
  ],
  ["recovered", RecoveredRequest, { epoch }],
  ["release", ReleaseRequest, { epoch }],
  ["putSandbox", PutSandboxRequest, { epoch, id, dir: `/run/peerpod/pods/${id}` }],
  [
    "putLink",
    PutLinkRequest,
    { epoch, id, address: "192.0.2.7", port: 15_150, tls, timeoutMs: 300_000n, volumes: [volume] },
  ],
  ["failLink", FailLinkRequest, { epoch, id, reason: "deleted" }],
  ["closeSandbox", CloseSandboxRequest, { epoch, id }],
  ["ackStop", AckStopRequest, { epoch, sandboxId: id }],
  ["event.attached", Event, { attached: { instanceId: "i", apiVersion: 1, programVersion: "0.1.0" } }],
  ["event.sandbox", Event, { sandbox: { id, hasLink: true, link, connections, dir: "/d" } }],
  ["event.heldCall", Event, { heldCall: { sandboxId: id, method: "StartVM", deaths: 1 } }],
  ["event.owedStop", Event, { owedStop: { sandboxId: id, reason: 2 } }],
  ["event.snapshotEnd", Event, { snapshotEnd: {} }],
  ["event.callerLeft", Event, { callerLeft: { sandboxId: id, method: "CreateVM" } }],
  ["event.shimConnections", Event, { shimConnections: connections }],
  ["event.link", Event, { link }],
  ["event.loss", Event, { loss: { sandboxId: id, kind: "exit-code", detail: "c1" } }],
];

const file = new URL("../../test/fixtures/control-api/v1.json", import.meta.url);
// The element types of MESSAGES match pairwise, which a list of different codecs cannot express.
const hexOf = (codec: Codec, message: object): string =>
  Buffer.from(codec.encode(message as never).finish()).toString("hex");

// Never written again once it is there: an older program cannot be changed any more.
if (process.env["UPDATE_GOLDEN"] === "1" && !existsSync(file)) {
  const recorded = Object.fromEntries(
    MESSAGES.map(([name, codec, message]) => [name, hexOf(codec, message)]),
  );
  const methods = Object.values(ShimProxyService).map((method) => method.path);
  writeFileSync(file, `${JSON.stringify({ methods, messages: recorded }, null, 2)}\n`);
}

const { methods, messages } = v.parse(
  v.object({ methods: v.array(v.string()), messages: v.record(v.string(), v.string()) }),
  JSON.parse(readFileSync(file, "utf8")),
);

describe("the control API of version 1", () => {
  test.each(MESSAGES)("%s means on the wire what it meant then", (name, codec, message) => {
    expect(codec.decode(Buffer.from(messages[name] ?? "", "hex"))).toMatchObject(message);
    expect(hexOf(codec, message)).toBe(messages[name]);
  });

  test("has all its methods still", () => {
    expect(Object.values(ShimProxyService).map((method) => method.path)).toEqual(
      expect.arrayContaining(methods),
    );
  });

  test("a field and an event that an older program does not know are skipped", () => {
    const unknownField = Buffer.from("fa0701ff", "hex");
    const bytes = Buffer.concat([Buffer.from(messages["event.loss"] ?? "", "hex"), unknownField]);
    expect(Event.decode(bytes).loss?.kind).toBe("exit-code");
    expect(Event.decode(unknownField)).toEqual(Event.create());
  });
});

test("a control plane is content with a proxy that knows only Attach", async () => {
  const dir = mkdtempSync(join(tmpdir(), "older-"));
  const socket = join(dir, "proxy.sock");
  const server = new Server();
  // What is not given here is answered UNIMPLEMENTED, as by a proxy that has never heard of it.
  server.addService(ShimProxyService, {
    attach: (call: ServerWritableStream<AttachRequest, Event>) => {
      call.write(
        Event.fromPartial({ attached: { instanceId: "old", apiVersion: 1, programVersion: "0.0.9" } }),
      );
      call.write(Event.fromPartial({ snapshotEnd: {} }));
    },
  });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  const client = await ShimProxyClient.connect(socket);
  const options = { epoch: 1, frameSocket: join(dir, "frames.sock"), programVersion: "test" };
  const snapshot = await client.attach(options, () => undefined);
  expect(snapshot).toMatchObject({ instanceId: "old", sandboxes: [], heldCalls: [], owedStops: [] });
  await client.recovered();
  expect(await client.stats()).toBeUndefined();
  await expect(client.putSandbox("s1", "/run/s1")).rejects.toMatchObject({ kind: "unsupported" });
  client.close();
  server.forceShutdown();
  rmSync(dir, { recursive: true, force: true });
});
