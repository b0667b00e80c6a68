import { expect, test } from "vitest";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { podVolumes } from "./volumes.ts";

const never = new AbortController().signal;
const target = (uid: string, name: string): string =>
  `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~csi/${name}/mount`;
const entry = (path: string, mountInfo: unknown) => ({
  name: Buffer.from(path).toString("base64url"),
  mountInfo: JSON.stringify(mountInfo),
});

test("a pod gets its own volumes, in the order of their folders, with LUNs for those that have a disk", () => {
  const entries = [
    entry(target("uid-1", "b"), {
      device: "/disks/b",
      fstype: "xfs",
      metadata: { "encrypt-type": "LUKS", "kbs-key-id": "kbs:///k" },
    }),
    entry(target("uid-2", "other"), { device: "/disks/other" }),
    entry(target("uid-1", "a"), {
      device: "/dev/sdx",
      metadata: { "cloud-volume-path": "/disks/a", fsGroup: "1000" },
    }),
    entry(target("uid-1", "c"), {}),
    entry("/var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~secret/x", { device: "/disks/x" }),
    { name: "not base64!", mountInfo: "{}" },
    { name: Buffer.from(target("uid-1", "d")).toString("base64url"), mountInfo: "not json" },
  ];
  const volumes = podVolumes(entries, "uid-1");
  expect(volumes.map((v) => [v.targetPath.split("/").at(-2), v.diskId, v.lun])).toEqual([
    ["a", "/disks/a", 0],
    ["b", "/disks/b", 1],
    ["c", "", 0],
    ["d", "", 0],
  ]);
  expect(volumes[0]).toMatchObject({ fsGroup: "1000", fsType: "" });
  expect(volumes[1]).toMatchObject({ fsType: "xfs", encryptType: "LUKS", keyId: "kbs:///k" });
});

test("the table fixed at CreateVM reaches cloud and shim-proxy, though the node's volumes change before StartVM", async () => {
  using node = new FakeSandboxes();
  node.volumes = [entry(target("uid-1", "a"), { device: "/disks/a" })];
  await node.manager.create({ ...node.request("s1"), podUid: "uid-1" }, never);
  node.volumes = [entry(target("uid-1", "0"), { device: "/disks/other" }), ...node.volumes];
  await node.restart();
  await node.manager.start("s1", never);
  expect(node.cloud.requests.at(-1)?.volumes.map((volume) => volume.diskId)).toEqual(["/disks/a"]);
  expect(node.proxy.links.get("s1")?.volumes).toMatchObject([
    { diskId: "/disks/a", lun: 0, targetPath: target("uid-1", "a") },
  ]);
});

test("without the pod's UID no volume is attached: it could be another pod's", async () => {
  using node = new FakeSandboxes();
  node.volumes = [entry(target("uid-1", "a"), { device: "/disks/a" })];
  await node.manager.create(node.request("s1"), never);
  await node.manager.start("s1", never);
  expect(node.cloud.requests.at(-1)?.volumes).toEqual([]);
});
