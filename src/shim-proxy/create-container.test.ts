import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { CreateContainerRequest } from "../gen/agent/agent.ts";
import { type Mount, Spec } from "../gen/agent/oci.ts";
import { decodeRequest } from "../ttrpc/index.ts";
import type { VmVolume } from "./control-types.ts";
import { rewriteCreateContainer } from "./create-container.ts";

const TARGET_PATHS = "io.confidentialcontainers.org.peerpodvolumes.target_path";
const CLOUD_VOLUMES = "io.confidentialcontainers.org.cloud_volumes";

const path = (name: string): string => `/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/${name}/mount`;
const mount = (source: string, destination: string): Mount => ({
  source,
  destination,
  type: "bind",
  options: [],
});
const volume = (name: string, changes: Partial<VmVolume> = {}): VmVolume => ({
  targetPath: path(name),
  diskId: `disk-${name}`,
  lun: 0,
  fsType: "",
  fsGroup: "",
  encryptType: "",
  keyId: "",
  ...changes,
});

const unexpected = (text: string): never => {
  throw new Error(`unexpected problem: ${text}`);
};

function rewrite(spec: Partial<Spec>, volumes: readonly VmVolume[]): Record<string, string> | undefined {
  const request = CreateContainerRequest.create({ containerId: "c1", OCI: Spec.create(spec) });
  const payload = rewriteCreateContainer(
    CreateContainerRequest.encode(request).finish(),
    volumes,
    unexpected,
  );
  return payload === undefined ? undefined : CreateContainerRequest.decode(payload).OCI?.Annotations;
}

describe("a CreateContainer", () => {
  test("without volumes and GPUs passes unchanged, as does one that cannot be decoded or has no spec", () => {
    expect(rewrite({ Mounts: [mount("/etc/hosts", "/etc/hosts")] }, [volume("a")])).toBeUndefined();
    expect(rewriteCreateContainer(Buffer.from("ffff", "hex"), [volume("a")], unexpected)).toBeUndefined();
    expect(rewriteCreateContainer(new Uint8Array(0), [volume("a")], unexpected)).toBeUndefined();
  });

  test("names the mounted volumes, whatever their place among the mounts, without a leading comma", () => {
    const Mounts = [mount("/etc/hosts", "/etc/hosts"), mount(path("a"), "/a"), mount(path("b"), "/b")];
    expect(rewrite({ Mounts }, [volume("b"), volume("a", { lun: 1 })])?.[TARGET_PATHS]).toBe(
      `${path("a")},${path("b")}`,
    );
  });

  test("describes their disks as the forwarder reads it", () => {
    const Mounts = [mount(path("a"), "/a"), mount(path("b"), "/b"), mount(path("c"), "/c")];
    const annotations = rewrite({ Mounts }, [
      volume("a", { lun: 1 }),
      volume("b", { lun: 0, fsType: "xfs", fsGroup: "2000", encryptType: "luks2", keyId: "kbs:///k" }),
      volume("c", { diskId: "" }),
      volume("elsewhere", { lun: 2 }),
    ]);
    expect(JSON.parse(annotations?.[CLOUD_VOLUMES] ?? "")).toEqual({
      "vol-1": { mount_point: "/a", fs_type: "ext4", lun: "1", disk_id: "disk-a" },
      "vol-0": {
        mount_point: "/b",
        fs_type: "xfs",
        lun: "0",
        disk_id: "disk-b",
        fs_group: "2000",
        encrypt_type: "luks2",
        key_id: "kbs:///k",
      },
    });
  });

  test("asks for all GPUs when the container's annotations name a number of them, also 0", () => {
    const key = "io.katacontainers.config.hypervisor.default_gpus";
    expect(rewrite({ Annotations: { [key]: "0" } }, [])).toEqual({
      [key]: "0",
      "cdi.k8s.io/peer-pods": "nvidia.com/gpu=all",
    });
    expect(rewrite({ Annotations: { [key]: "" } }, [])).toBeUndefined();
  });

  test("of the recordings keeps every byte that it does not know", () => {
    const lines = readFileSync(
      new URL("../../test/fixtures/traces/pod-lifecycle.jsonl", import.meta.url),
      "utf8",
    );
    const recorded = lines
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
      .filter((record) => record.method === "CreateContainer" && record.dir === "c2s");
    expect(recorded.length).toBe(3);
    for (const record of recorded) {
      const { payload } = decodeRequest(Buffer.from(record.payload, "hex"));
      const before = CreateContainerRequest.decode(payload);
      const source = before.OCI?.Mounts.at(-1)?.source ?? "";
      const rewritten = rewriteCreateContainer(payload, [{ ...volume("x"), targetPath: source }], unexpected);
      const after = CreateContainerRequest.decode(rewritten ?? new Uint8Array(0));
      const annotations = after.OCI?.Annotations ?? {};
      expect(annotations[TARGET_PATHS]).toBe(source);
      delete annotations[TARGET_PATHS];
      delete annotations[CLOUD_VOLUMES];
      expect(after).toEqual(before);
    }
  });
});
