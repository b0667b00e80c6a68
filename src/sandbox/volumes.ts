import * as v from "valibot";
import { journalFailed } from "../errors/index.ts";
import type { VmVolume } from "../shim-proxy/index.ts";

/** One folder below Kata's direct-volume directory. */
export interface DirectVolumeEntry {
  /** URL-safe base64 of the kubelet's target path. */
  readonly name: string;
  /** Text of its mountInfo.json; undefined when it cannot be read. */
  readonly mountInfo: string | undefined;
}

/** Of a kubelet's target path (cloud-api-adaptor fbdde756, pkg/util/cloud.go, CSIPluginEscapeQualifiedName). */
const CSI_PART = "/volumes/kubernetes.io~csi/";

/** The keys that CSI drivers and the Go adaptor use (kata-containers direct-volume MountInfo; pkg/adaptor/proxy/service.go). */
const mountInfoText = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    device: v.optional(v.string(), ""),
    fstype: v.optional(v.string(), ""),
    metadata: v.optional(v.record(v.string(), v.unknown()), {}),
  }),
);

/**
 * The direct-assigned volumes of a pod, in the order of their folders' names, which is the order of their LUNs. Decided once,
 * at CreateVM: the Go adaptor looks again at CreateContainer and can then take another pod's disk. Entries that are no volume of
 * this pod are left out; one whose mountInfo.json says nothing of a disk is named to the VM without one.
 */
export function podVolumes(entries: readonly DirectVolumeEntry[], podUid: string): VmVolume[] {
  const volumes: VmVolume[] = [];
  let lun = 0;
  for (const entry of [...entries].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const targetPath = decodeTargetPath(entry.name);
    if (
      targetPath === undefined ||
      !targetPath.includes(CSI_PART) ||
      !targetPath.includes(`/pods/${podUid}/`)
    )
      continue;
    const info = v.safeParse(mountInfoText, entry.mountInfo ?? "");
    const about = info.success ? info.output : { device: "", fstype: "", metadata: {} };
    const text = (key: string): string => {
      const value = about.metadata[key];
      return typeof value === "string" ? value : "";
    };
    const diskId = text("cloud-volume-path") || about.device;
    volumes.push({
      targetPath,
      diskId,
      lun: diskId === "" ? 0 : lun++,
      fsType: about.fstype,
      fsGroup: text("fsGroup"),
      encryptType: text("encrypt-type"),
      keyId: text("kbs-key-id"),
    });
  }
  return volumes;
}

/** Undefined for a name that is not the encoding of a path. */
function decodeTargetPath(name: string): string | undefined {
  const bytes = Buffer.from(name, "base64url");
  const path = bytes.toString("utf8");
  const again = Buffer.from(path, "utf8").toString("base64url");
  return path.startsWith("/") && again === name.replace(/=+$/, "") ? path : undefined;
}

const journaledVolumes: v.GenericSchema<unknown, VmVolume[]> = v.array(
  v.object({
    targetPath: v.string(),
    diskId: v.string(),
    lun: v.number(),
    fsType: v.string(),
    fsGroup: v.string(),
    encryptType: v.string(),
    keyId: v.string(),
  }),
);

/** Reads back what CreateVM journaled. Throws `journal` when it makes no sense. */
export function parseJournaledVolumes(text: string | undefined): readonly VmVolume[] {
  if (text === undefined) return [];
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), journaledVolumes), text);
  if (result.success) return result.output;
  throw journalFailed(`the journal holds volumes that cannot be read: ${result.issues[0].message}`);
}
