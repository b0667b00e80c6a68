import { expect, test } from "vitest";
import { OwnerTag } from "../../providers/contract.ts";
import { readScripts, SshHost } from "../../providers/kvm/host/index.ts";
import { Secret } from "../../src/platform/index.ts";
import { kvmHarness } from "./kvm-harness.ts";
import { TestSshd, whyNoSsh } from "./sshd.ts";

const never = new AbortController().signal;
const owner = { clusterId: "cluster-a", nodeName: "node-1" };
const request = {
  name: "podvm-kept-0f1e2d3c",
  tags: {
    [OwnerTag.Cluster]: owner.clusterId,
    [OwnerTag.Node]: owner.nodeName,
    [OwnerTag.Sandbox]: "0f1e2d3c".repeat(8),
    [OwnerTag.Namespace]: "default",
    [OwnerTag.Pod]: "kept",
  },
  userData: new Secret("#cloud-config\n"),
  size: { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 },
  image: "",
  dedicatedTunnelInterface: false,
  externalNetworkInterface: false,
  volumes: [],
};
const options = { signal: never, onId: () => undefined, onProgress: () => undefined };

test.skipIf(whyNoSsh() !== undefined)(
  "a lost connection loses no VM, and calls work again when the host is back (needs root, QEMU and sshd)",
  async () => {
    const held: { sshd?: TestSshd } = {};
    await using undo = new AsyncDisposableStack();
    undo.defer(() => held.sshd?.breakConnections());
    const harness = undo.use(
      await kvmHarness(async (exec, dir, inside) => {
        held.sshd = new TestSshd(dir, inside);
        await held.sshd.start();
        return new SshHost(exec, await readScripts(), held.sshd.target);
      }),
    );
    const { sshd } = held;
    if (sshd === undefined) throw new Error("the host was not opened");
    const provider = await harness.provider({ owner });
    const vm = await provider.create(request, options);
    await sshd.breakConnections();
    await expect(provider.list(owner, never)).rejects.toMatchObject({ kind: "unavailable" });
    await sshd.start();
    expect(await provider.get(vm, never)).toMatchObject({ id: vm.id, lifecycle: "running" });
    expect(await provider.create(request, options)).toMatchObject({ id: vm.id });
    await provider.delete(vm, never);
    expect(await harness.cloud.resources()).toEqual([]);
  },
);
