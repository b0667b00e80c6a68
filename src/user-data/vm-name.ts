const PREFIX = "podvm";
/** Most characters of a VM's name: a DNS label. Azure's Linux computer name may have one more. */
const MAX_NAME_LENGTH = 63;
const SANDBOX_PART_LENGTH = 8;
/** What the prefix, the sandbox part and the two hyphens leave for the pod's name. */
const MAX_POD_PART_LENGTH = MAX_NAME_LENGTH - PREFIX.length - SANDBOX_PART_LENGTH - 2;

/** Lower case, and a hyphen for every character that a cloud's name may not have. */
const sanitise = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9-]/gu, "-");

/**
 * The name of a pod's VM, which is also its TLS server name: `podvm-<pod>-<first 8 of the sandbox id>`, at most 63 characters
 * of a-z, 0-9 and `-`; the pod's part is cut. As the Go adaptor's GenerateInstanceName (src/cloud-providers/util/instance.go).
 */
export function podVmName(podName: string, sandboxId: string): string {
  const pod = sanitise(podName).slice(0, MAX_POD_PART_LENGTH);
  return `${PREFIX}-${pod}-${sanitise(sandboxId).slice(0, SANDBOX_PART_LENGTH)}`;
}
