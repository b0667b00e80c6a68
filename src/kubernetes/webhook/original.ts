import * as v from "valibot";
import { type ContainerDemand, type Demand, demandOf, isEmpty, NO_DEMAND } from "./demand.ts";
import { Annotation } from "./names.ts";
import { containersOf, type Pod } from "./pod.ts";
import type { WebhookPolicy } from "./policy.ts";
import { parseQuantity } from "./quantity.ts";

/**
 * What the pod asked for before the webhook took it away, kept in an annotation of the pod. The API server calls the webhook
 * again when others changed the pod after it, and by then LimitRange has filled the emptied containers with its defaults:
 * only what was kept tells the one from the other.
 */
export interface Original {
  readonly containers: Readonly<Record<string, Demand>>;
  readonly pod: Demand;
  /** Annotations that the webhook wrote: not the user's words. */
  readonly written: Readonly<Record<string, string>>;
}

const quantity = v.pipe(
  v.string(),
  v.check((text) => (parseQuantity(text) ?? -1n) >= 0n),
);
const quantities = v.optional(v.record(v.string(), quantity), {});
const demand = v.object({ requests: quantities, limits: quantities });
const originalSchema = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    containers: v.optional(v.record(v.string(), demand), {}),
    pod: v.optional(demand, NO_DEMAND),
    written: v.optional(v.record(v.string(), v.string()), {}),
  }),
);

const NOTHING: Original = { containers: {}, pod: NO_DEMAND, written: {} };

/** What the annotation keeps; nothing when there is none or it makes no sense: users can write it too. */
export function readOriginal(annotations: Readonly<Record<string, string>>): Original {
  const text = Object.hasOwn(annotations, Annotation.Original) ? annotations[Annotation.Original] : undefined;
  const result = v.safeParse(originalSchema, text);
  return result.success ? result.output : NOTHING;
}

/** The pod's demand as its authors meant it. */
export interface PodDemand {
  readonly containers: readonly ContainerDemand[];
  readonly podLevel: Demand;
}

/**
 * Merges what was kept with what the pod has now: what was kept stands, resource by resource, and only what is new is added, containers
 * and resources that others put in. So it is for copies of a pod that bring the annotation along: a pod has no UID yet when it
 * is admitted, by which they could be told. Throws `invalid-request` for bad quantities.
 */
export function mergedDemand(pod: Pod, kept: Original, policy: WebhookPolicy): PodDemand {
  const containers = containersOf(pod).map(({ name, kind, resources }) => {
    const before = Object.hasOwn(kept.containers, name) ? kept.containers[name] : undefined;
    return {
      name,
      kind,
      demand: keepBefore(before ?? NO_DEMAND, demandOf(`container ${name}`, resources, policy)),
    };
  });
  return { containers, podLevel: keepBefore(kept.pod, demandOf("the pod", pod.spec?.resources, policy)) };
}

/** A resource that was asked for before, by request or by limit, keeps both; others come from now. */
function keepBefore(before: Demand, now: Demand): Demand {
  const isNew = ([name]: readonly [string, string]): boolean =>
    !Object.hasOwn(before.requests, name) && !Object.hasOwn(before.limits, name);
  const side = (of: "requests" | "limits"): Record<string, string> => ({
    ...before[of],
    ...Object.fromEntries(Object.entries(now[of]).filter(isNew)),
  });
  return { requests: side("requests"), limits: side("limits") };
}

/** The annotation's text; undefined when there is nothing to keep. */
export function originalText(
  demand: PodDemand,
  written: Readonly<Record<string, string>>,
): string | undefined {
  const containers = demand.containers.filter((one) => !isEmpty(one.demand));
  const podLevel = isEmpty(demand.podLevel) ? undefined : demand.podLevel;
  if (containers.length === 0 && podLevel === undefined && Object.keys(written).length === 0)
    return undefined;
  return JSON.stringify({
    containers: Object.fromEntries(containers.map((one) => [one.name, one.demand])),
    ...(podLevel === undefined ? {} : { pod: podLevel }),
    ...(Object.keys(written).length === 0 ? {} : { written }),
  });
}
