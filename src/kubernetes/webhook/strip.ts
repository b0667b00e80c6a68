import { unsupported } from "../../errors/index.ts";
import { EPC_RESOURCE, isExtendedResource } from "./names.ts";
import { type PatchOperation, patchMap } from "./patch.ts";
import type { Pod, PodContainer } from "./pod.ts";
import type { WebhookPolicy } from "./policy.ts";

type StripPolicy = Pick<WebhookPolicy, "extendedResource" | "gpuResources" | "unknownResources">;

const SIDES = ["requests", "limits"] as const;

/** Devices that a container asks of the worker and will not find in its VM. */
interface Devices {
  readonly container: PodContainer;
  readonly resources: readonly string[];
  readonly hasClaims: boolean;
}

/**
 * What takes the containers' resources away, so that the worker is not charged for them, and asks for one pod VM in the first
 * regular container; pod-level resources go too.
 */
export function stripResources(
  pod: Pod,
  containers: readonly PodContainer[],
  policy: StripPolicy,
): readonly PatchOperation[] {
  const first = containers.find((one) => one.kind === "regular");
  const podLevel: readonly PatchOperation[] =
    pod.spec?.resources === undefined || pod.spec.resources === null
      ? []
      : [{ op: "remove", path: "/spec/resources" }];
  return [
    ...containers.flatMap((one) => (one === first ? askForVm(one, policy) : emptied(one, policy))),
    ...podLevel,
  ];
}

function askForVm(container: PodContainer, policy: StripPolicy): readonly PatchOperation[] {
  const path = `${container.path}/resources`;
  const one = { [policy.extendedResource]: "1" };
  if (container.resources === undefined || container.resources === null) {
    return [{ op: "add", path, value: { requests: one, limits: one } }];
  }
  const present = container.resources;
  return [
    ...SIDES.flatMap((side) => {
      const unwanted = Object.keys(present[side] ?? {}).filter(
        (name) => name !== policy.extendedResource && !isKept(name, policy),
      );
      return patchMap(`${path}/${side}`, present[side], one, unwanted);
    }),
    ...withoutClaims(container, policy),
  ];
}

function emptied(container: PodContainer, policy: StripPolicy): readonly PatchOperation[] {
  const path = `${container.path}/resources`;
  const maps = SIDES.flatMap((side): readonly PatchOperation[] => {
    const present = container.resources?.[side] ?? {};
    const names = Object.keys(present);
    const unwanted = names.filter((name) => !isKept(name, policy));
    if (unwanted.length === 0) return [];
    if (unwanted.length === names.length) return [{ op: "remove", path: `${path}/${side}` }];
    return patchMap(`${path}/${side}`, present, {}, unwanted);
  });
  return [...maps, ...withoutClaims(container, policy)];
}

const withoutClaims = (container: PodContainer, policy: StripPolicy): readonly PatchOperation[] =>
  (container.resources?.claims ?? []).length > 0 && policy.unknownResources !== "keep"
    ? [{ op: "remove", path: `${container.path}/resources/claims` }]
    : [];

const isKept = (resource: string, policy: StripPolicy): boolean =>
  policy.unknownResources === "keep" && isUnknown(resource, policy);

/** A device of the worker that the webhook has no place for. */
const isUnknown = (resource: string, policy: StripPolicy): boolean =>
  isExtendedResource(resource) &&
  resource !== policy.extendedResource &&
  resource !== EPC_RESOURCE &&
  !policy.gpuResources.includes(resource);

/** What users should know of the devices that they lose: one line each. Throws `unsupported` where that is refused. */
export function deviceWarnings(containers: readonly PodContainer[], policy: StripPolicy): readonly string[] {
  if (policy.unknownResources === "keep") return [];
  const lost = containers
    .map((container) => devicesOf(container, policy))
    .filter((devices) => devices.resources.length > 0 || devices.hasClaims);
  const texts = lost.map(({ container, resources, hasClaims }) => {
    const names = [...resources, ...(hasClaims ? ["a resource claim"] : [])].join(", ");
    return `container ${container.name} asks for ${names}, a device of the worker that a pod VM does not have`;
  });
  const [refused] = texts;
  if (policy.unknownResources === "deny" && refused !== undefined) {
    throw unsupported(`${refused}: remove it, or choose another runtime class`);
  }
  return texts.map((text) => `${text}; it runs without`);
}

function devicesOf(container: PodContainer, policy: StripPolicy): Devices {
  const names = SIDES.flatMap((side) => Object.keys(container.resources?.[side] ?? {}));
  return {
    container,
    resources: [...new Set(names)].filter((name) => isUnknown(name, policy)),
    hasClaims: (container.resources?.claims ?? []).length > 0,
  };
}
