import { invalidRequest } from "../../errors/index.ts";
import { EPC_RESOURCE } from "./names.ts";
import type { PodContainer, Resources } from "./pod.ts";
import type { WebhookPolicy } from "./policy.ts";
import { type Nano, parseQuantity } from "./quantity.ts";

/** Requests and limits of the resources that size a VM, by name; as texts, exactly as the pod has them. */
export interface Demand {
  readonly requests: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<string, string>>;
}

/** A demand, and whose it is. */
export interface ContainerDemand {
  readonly name: string;
  readonly kind: PodContainer["kind"];
  readonly demand: Demand;
}

/** What a pod asks for in all. */
export interface Totals {
  readonly cpu: Nano;
  readonly memory: Nano;
  readonly gpus: Nano;
  readonly epc: Nano;
}

export const NO_DEMAND: Demand = { requests: {}, limits: {} };

export const isEmpty = (demand: Demand): boolean =>
  Object.keys(demand.requests).length === 0 && Object.keys(demand.limits).length === 0;

/** Whether a resource sizes the VM. */
export const isCounted = (resource: string, policy: Pick<WebhookPolicy, "gpuResources">): boolean =>
  resource === "cpu" ||
  resource === "memory" ||
  resource === EPC_RESOURCE ||
  policy.gpuResources.includes(resource);

/** Of what an object has, the part that counts. Throws `invalid-request` for what is no quantity, or below zero. */
export function demandOf(where: string, resources: Resources, policy: WebhookPolicy): Demand {
  const pick = (side: "requests" | "limits"): Record<string, string> => {
    const entries = Object.entries(resources?.[side] ?? {}).map(
      ([name, value]) => [name, String(value)] as const,
    );
    for (const [name, text] of entries) checkQuantity(`${side}.${name} of ${where}`, text);
    return Object.fromEntries(entries.filter(([name]) => isCounted(name, policy)));
  };
  return { requests: pick("requests"), limits: pick("limits") };
}

// The values are taken off the pod, so the API server's own validation would not see them any more.
function checkQuantity(what: string, text: string): void {
  const value = parseQuantity(text);
  if (value === undefined) {
    throw invalidRequest(
      `${what} is ${JSON.stringify(text.slice(0, 60))}, which is no quantity: write for example 500m, 2 or 1Gi`,
    );
  }
  if (value < 0n) throw invalidRequest(`${what} is ${text}: a quantity cannot be below 0`);
}

/** A demand's quantity, 0 when it does not name the resource. Texts in a demand were checked when they were read. */
export function quantityIn(side: Readonly<Record<string, string>>, resource: string): Nano {
  const text = Object.hasOwn(side, resource) ? side[resource] : undefined;
  return text === undefined ? 0n : (parseQuantity(text) ?? 0n);
}

/**
 * Adds up what the pod's VM must have. CPU and memory: the sum of the limits where it covers the sum of the requests, else that;
 * limits without any request do not count (the API server makes a limit a request too). GPUs by request. Pod-level values
 * stand for the sum of the containers', as they do in Kubernetes.
 */
export function totalsOf(
  containers: readonly ContainerDemand[],
  podLevel: Demand,
  policy: Pick<WebhookPolicy, "initContainers" | "gpuResources">,
): Totals {
  const sum = (pick: (demand: Demand) => Nano): Nano => sumOf(containers, pick, policy.initContainers);
  const side = (of: "requests" | "limits", resource: string): Nano =>
    Object.hasOwn(podLevel[of], resource)
      ? quantityIn(podLevel[of], resource)
      : sum((demand) => quantityIn(demand[of], resource));
  const sized = (resource: string): Nano => {
    const requests = side("requests", resource);
    const limits = side("limits", resource);
    return requests > 0n && limits >= requests ? limits : requests;
  };
  return {
    cpu: sized("cpu"),
    memory: sized("memory"),
    gpus: policy.gpuResources.reduce(
      (gpus, resource) => gpus + sum((demand) => quantityIn(demand.requests, resource)),
      0n,
    ),
    epc: sum((demand) =>
      larger(quantityIn(demand.requests, EPC_RESOURCE), quantityIn(demand.limits, EPC_RESOURCE)),
    ),
  };
}

const larger = (a: Nano, b: Nano): Nano => (a > b ? a : b);

/**
 * `effective` is Kubernetes' rule for a pod: init containers run one after the other, each beside the sidecars that were started
 * before it; then all sidecars and containers run together.
 */
function sumOf(
  containers: readonly ContainerDemand[],
  pick: (demand: Demand) => Nano,
  policy: WebhookPolicy["initContainers"],
): Nano {
  let running = 0n;
  let highest = 0n;
  for (const { kind, demand } of containers) {
    const value = pick(demand);
    if (kind === "init" && policy === "effective") highest = larger(highest, running + value);
    else running += value;
  }
  return larger(highest, running);
}
