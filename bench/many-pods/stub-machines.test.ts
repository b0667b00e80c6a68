import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AddressPool, parseSubnet } from "../../providers/mock/mock-cloud/addresses.ts";
import type { Machine, Machines } from "../../providers/mock/mock-cloud/machines.ts";
import { HealthDefinition } from "../../src/gen/agent/health.ts";
import { Secret } from "../../src/platform/index.ts";
import { noNetworking } from "../../src/sandbox/index.ts";
import { issueVmIdentity, type VmIdentity } from "../../src/tls/index.ts";
import { createClient, TtrpcClient, type TtrpcServer } from "../../src/ttrpc/index.ts";
import { apfJson, buildApfConfig, buildCloudConfig } from "../../src/user-data/index.ts";
import { stubAgent } from "../stub-agent-service.ts";
import { stubMachines } from "./stub-machines.ts";

const PORT = 15150;
const never = new AbortController().signal;

let agent: TtrpcServer;
let machines: Machines;
const machinesMade: Machine[] = [];

beforeEach(() => {
  agent = stubAgent();
  const subnet = parseSubnet("127.79.0.0/16");
  if (subnet === undefined) throw new Error("not a subnet");
  // Other tests on this machine begin somewhere else.
  machines = stubMachines({ pool: new AddressPool(subnet, process.pid), agent, rootless: true });
});

afterEach(async () => {
  for (const machine of machinesMade.splice(0)) await machine.destroy();
  await agent[Symbol.asyncDispose]();
});

/** A VM of an identity of its own, as the adaptor gives it one. */
async function boot(name: string): Promise<{ readonly address: string; readonly identity: VmIdentity }> {
  const identity = await issueVmIdentity({ serverName: name, nowMs: Date.now() });
  const apf = buildApfConfig({
    podName: name,
    podNamespace: "bench",
    network: noNetworking.describe("{}", 555_000),
    tls: {
      serverKeyPem: identity.serverKeyPem.reveal(),
      serverCertPem: identity.serverCertPem,
      clientCaPem: identity.clientCertPem,
    },
    profile: { minVersion: "", cipherSuites: [] },
  });
  const userData = buildCloudConfig({ apfJson: apfJson(apf), scratchSpace: false });
  const machine = machines.prepare({
    id: `i-${name}`,
    name,
    argv: ["/bin/true"],
    userData: new Secret(userData),
    interfaces: 1,
    onConsole: () => undefined,
  });
  machinesMade.push(machine);
  await machine.boot(never);
  return { address: machine.addresses[0] ?? "", identity };
}

function dial(host: string, as: VmIdentity): TLSSocket {
  const { caPem: ca, clientCertPem: cert, serverName: servername } = as;
  return connect({ host, port: PORT, ca, cert, key: as.clientKeyPem.reveal(), servername });
}

test("two VMs have an address each, and answer whoever has the keys of their own user data", async () => {
  const [one, two] = [await boot("one"), await boot("two")];
  expect(one.address).not.toBe(two.address);
  for (const { address, identity } of [one, two]) {
    await using client = new TtrpcClient(dial(address, identity));
    expect(await createClient(HealthDefinition, client).check({ service: "" })).toMatchObject({ status: 1 });
  }
});

test("a client with the keys of another VM is refused", async () => {
  const [one, two] = [await boot("one"), await boot("two")];
  const socket = dial(one.address, { ...one.identity, ...clientOf(two.identity) });
  socket.on("error", () => undefined); // Whether it hears of it or is only cut off is the machine's choice.
  // In TLS 1.3 the client hears of it after its own handshake, with what it reads.
  socket.resume();
  await once(socket, "close");
  expect(agent.connectionCount).toBe(0);
});

const clientOf = ({ clientCertPem, clientKeyPem }: VmIdentity): Partial<VmIdentity> => ({
  clientCertPem,
  clientKeyPem,
});

test("a VM that was taken down listens no more, and nothing of it is left", async () => {
  const { address, identity } = await boot("one");
  expect(await machines.inventory()).toHaveLength(1);
  await machinesMade[0]?.destroy();
  expect(await machines.inventory()).toEqual([]);
  const [error]: unknown[] = await once(dial(address, identity), "error");
  expect(String(error)).toMatch(/ECONNREFUSED/);
});
