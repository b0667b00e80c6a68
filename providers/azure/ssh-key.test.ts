import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { silentLog, systemExec } from "../../src/platform/index.ts";
import { FakeAzure, fakeConfig, inProcessClient } from "../../test/fakes/azure/index.ts";
import { scaledClock } from "../../test/fakes/clock/index.ts";
import type { Provider } from "../contract.ts";
import { createAzureProvider } from "./provider.ts";
import { formatSshRsa } from "./ssh-key.ts";
import { never, quiet, testRequest } from "./testing.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "azure-key-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Files are read in real time, so time passes, only faster. */
const clock = scaledClock(50);

/** A provider that reads its key itself. */
async function keyed(azure: FakeAzure, sshKeyPath: string): Promise<Provider> {
  const owner = { clusterId: "c", nodeName: "n" };
  return createAzureProvider({ clock, exec: systemExec, log: silentLog, owner }, fakeConfig({ sshKeyPath }), {
    httpClient: inProcessClient(azure),
    credential: { getToken: async () => azure.issueToken() },
  });
}

test("a configured key reaches the VM, and verify wants its file private", async () => {
  const line = formatSshRsa(generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey);
  const path = join(folder, "id_rsa.pub");
  await writeFile(path, `${line}\n`, { mode: 0o644 });
  const azure = new FakeAzure({ clock });
  const provider = await keyed(azure, path);
  const findings = await provider.verify(never());
  expect(findings.find((one) => one.check === "ssh key")).toMatchObject({
    level: "warning",
    text: expect.stringContaining("mode 644"),
  });
  await provider.create(testRequest(), quiet());
  const sent = azure.world.vms.get(testRequest().name)?.body.properties?.osProfile;
  expect(sent?.linuxConfiguration?.ssh?.publicKeys?.[0]?.keyData).toBe(line);
});

test("a key file that is not there is an error of the configuration, before anything is made", async () => {
  const azure = new FakeAzure({ clock });
  const provider = await keyed(azure, join(folder, "missing"));
  await expect(provider.create(testRequest(), quiet())).rejects.toMatchObject({ kind: "invalid-config" });
  expect(azure.resources()).toEqual([]);
});
