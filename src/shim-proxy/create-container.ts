import { CreateContainerRequest } from "../gen/agent/agent.ts";
import type { Spec } from "../gen/agent/oci.ts";
import { restoreLimits } from "./container-limits.ts";
import type { VmVolume } from "./control-types.ts";

// Names and texts: cloud-api-adaptor fbdde756, src/cloud-api-adaptor/pkg/adaptor/proxy/service.go and pkg/util/cloud.go.
const TARGET_PATHS = "io.confidentialcontainers.org.peerpodvolumes.target_path";
const CLOUD_VOLUMES = "io.confidentialcontainers.org.cloud_volumes";
const CDI_DEVICES = "cdi.k8s.io/peer-pods";
const CDI_ALL_GPUS = "nvidia.com/gpu=all";
const DEFAULT_GPUS = "io.katacontainers.config.hypervisor.default_gpus";
const DEFAULT_FS_TYPE = "ext4";

/**
 * The payload of a CreateContainer with what the forwarder in the VM must know of volumes and GPUs, and with the container's own
 * limits, or undefined when there is nothing to add (also for a payload that cannot be read: the agent shall judge it).
 * `onProblem` is told of limits that make no sense; the container is created without them.
 */
export function rewriteCreateContainer(
  payload: Uint8Array,
  volumes: readonly VmVolume[],
  onProblem: (text: string) => void,
): Uint8Array | undefined {
  let request: CreateContainerRequest;
  try {
    request = CreateContainerRequest.decode(payload);
  } catch {
    return undefined;
  }
  const spec = request.OCI;
  if (spec === undefined) return undefined;
  const added = { ...gpuAnnotation(spec), ...volumeAnnotations(spec, volumes) };
  const limits = restoreLimits(spec);
  if (limits.problem !== undefined) onProblem(limits.problem);
  if (Object.keys(added).length === 0 && !limits.changed) return undefined;
  spec.Annotations = { ...spec.Annotations, ...added };
  return CreateContainerRequest.encode(request).finish();
}

const gpuAnnotation = (spec: Spec): Record<string, string> =>
  (spec.Annotations[DEFAULT_GPUS] ?? "") === "" ? {} : { [CDI_DEVICES]: CDI_ALL_GPUS };

/** The table was fixed at CreateVM, so a volume keeps its disk though others come and go on the node. */
function volumeAnnotations(spec: Spec, volumes: readonly VmVolume[]): Record<string, string> {
  const byTarget = new Map(volumes.map((volume) => [volume.targetPath, volume]));
  const mounted = spec.Mounts.filter((mount) => byTarget.has(mount.source));
  if (mounted.length === 0) return {};
  const sources = [...new Set(mounted.map((mount) => mount.source))];
  const disks: Record<string, Record<string, string>> = {};
  for (const source of sources) {
    const volume = byTarget.get(source);
    const mountPoint = mounted.find((mount) => mount.source === source)?.destination;
    if (volume === undefined || mountPoint === undefined || volume.diskId === "") continue;
    disks[`vol-${volume.lun}`] = describeDisk(volume, mountPoint);
  }
  return {
    [TARGET_PATHS]: sources.join(","),
    ...(Object.keys(disks).length > 0 ? { [CLOUD_VOLUMES]: JSON.stringify(disks) } : {}),
  };
}

const describeDisk = (volume: VmVolume, mountPoint: string): Record<string, string> => ({
  mount_point: mountPoint,
  fs_type: volume.fsType === "" ? DEFAULT_FS_TYPE : volume.fsType,
  lun: String(volume.lun),
  disk_id: volume.diskId,
  ...(volume.fsGroup === "" ? {} : { fs_group: volume.fsGroup }),
  ...(volume.encryptType === "" ? {} : { encrypt_type: volume.encryptType }),
  ...(volume.keyId === "" ? {} : { key_id: volume.keyId }),
});
