import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AzureConfig, createAzureProvider } from "../../providers/azure/index.ts";
import { never, quiet, testRequest } from "../../providers/azure/testing.ts";
import type { Provider } from "../../providers/contract.ts";
import { Secret, silentLog, systemExec } from "../../src/platform/index.ts";
import {
  type EntraIdentity,
  FakeAzure,
  type FakeAzureServer,
  fakeConfig,
  SSH_KEY,
  serveFakeAzure,
} from "../fakes/azure/index.ts";
import { scaledClock } from "../fakes/clock/index.ts";

/** Waits are this much shorter than in life; the answers come over real sockets. */
const FACTOR = 20;
const IDENTITY: Required<EntraIdentity> = {
  tenantId: "aaaaaaaa-2222-3333-4444-555555555555",
  clientId: "bbbbbbbb-2222-3333-4444-555555555555",
  clientSecret: "s3cret-of-the-test",
  federatedToken: "header.payload.signature",
};
const clock = scaledClock(FACTOR);
let fake: FakeAzure;
let server: FakeAzureServer;
let folder: string;

beforeAll(async () => {
  fake = new FakeAzure({ clock, settings: { createMs: 2000, deleteMs: 1000 } });
  server = await serveFakeAzure(fake, IDENTITY);
  // This file has a process of its own; what NODE_EXTRA_CA_CERTS does for an adaptor is done here.
  tls.setDefaultCACertificates([...tls.getCACertificates("default"), server.caPem]);
  folder = await mkdtemp(join(tmpdir(), "azure-test-"));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function providerWith(
  identity: AzureConfig["identity"],
  over: Partial<AzureConfig> = {},
): Promise<Provider> {
  const config = fakeConfig({ identity, authorityHost: server.url, endpoint: server.url, ...over });
  const owner = { clusterId: "cluster-a", nodeName: "node-1" };
  return createAzureProvider({ clock, exec: systemExec, log: silentLog, owner }, config, {
    sshPublicKey: SSH_KEY,
  });
}

const secretIdentity = (clientSecret = IDENTITY.clientSecret): AzureConfig["identity"] => ({
  kind: "secret",
  tenantId: IDENTITY.tenantId,
  clientId: IDENTITY.clientId,
  clientSecret: new Secret(clientSecret),
});

async function workloadIdentity(token: string): Promise<AzureConfig["identity"]> {
  const tokenFile = join(folder, `token-${token.length}`);
  await writeFile(tokenFile, token, { mode: 0o600 });
  return { kind: "workload", tenantId: IDENTITY.tenantId, clientId: IDENTITY.clientId, tokenFile };
}

test("a VM is made, found, listed and deleted over https, signed in with a secret", async () => {
  const provider = await providerWith(secretIdentity());
  const request = testRequest();
  const vm = await provider.create(request, quiet());
  expect(vm).toMatchObject({ name: request.name, lifecycle: "running", addresses: [expect.any(String)] });
  expect((await provider.list({ clusterId: "cluster-a" }, never())).map((one) => one.name)).toEqual([
    request.name,
  ]);
  await provider.delete({ name: request.name }, never());
  expect(fake.resources()).toEqual([]);
});

test("a lost answer and a broken connection over a real socket are overcome", async () => {
  const provider = await providerWith(secretIdentity());
  const request = testRequest({ name: "podvm-lost-00000001" });
  fake.fault({ on: "create", kind: "lost" });
  fake.fault({ on: "read", kind: "cut", skip: 2 });
  await provider.create(request, quiet());
  fake.fault({ on: "delete", kind: "lost" });
  await provider.delete({ name: request.name }, never());
  expect(fake.resources()).toEqual([]);
});

describe("signing in", () => {
  const findings = async (
    identity: AzureConfig["identity"],
    over: Partial<AzureConfig> = {},
  ): Promise<string> => {
    const provider = await providerWith(identity, over);
    const found = await provider.verify(never());
    return found
      .filter((one) => one.level !== "ok")
      .map((one) => `${one.check}: ${one.text}`)
      .join("\n");
  };

  test("works with a service account's token", async () => {
    expect(await findings(await workloadIdentity(IDENTITY.federatedToken))).toBe("");
  });

  test("with a wrong secret says so, with Entra's code and without the secret", async () => {
    const text = await findings(secretIdentity("wr0ng-secret"));
    expect(text).toMatch(/^credentials: cannot sign in to Azure \(AADSTS7000215\): check AZURE_TENANT_ID/);
    expect(text).not.toContain("wr0ng-secret");
  });

  test("with a token that is not registered says so", async () => {
    expect(await findings(await workloadIdentity("another.token"))).toMatch(/AADSTS700213/);
  });

  test("without the token file says so", async () => {
    const identity = { ...(await workloadIdentity("x")), tokenFile: join(folder, "missing") };
    expect(await findings(identity)).toMatch(/^credentials: .*missing/);
  });

  test("at an endpoint that does not answer is no refusal", async () => {
    const text = await findings(secretIdentity(), { authorityHost: "https://localhost:1" });
    expect(text).toMatch(/^credentials: cannot reach Entra/);
  });
});
