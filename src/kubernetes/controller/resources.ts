import * as v from "valibot";
import { METADATA, type Metadata, type Resource } from "../client/index.ts";
import { OUT_OF_SERVICE_TAINT, UNHEALTHY_TAINTS } from "./names.ts";

/** A Node as the controller needs it; the rest is not kept. */
export interface NodeObject {
  readonly metadata: Metadata;
  readonly spec?: unknown;
}

const LEAN_METADATA: v.GenericSchema<unknown, Metadata> = v.pipe(
  METADATA,
  v.transform(({ name, uid, resourceVersion }) => ({ name, uid, resourceVersion })),
);

const TAINTS = v.object({ taints: v.optional(v.array(v.object({ key: v.string() })), []) });

/**
 * Nodes, read so that no Node with a name can be unreadable: one that was left out of a list would look as if it were gone. What
 * follows nodes keeps name and taints only, since a Node's list of images alone has kilobytes.
 */
export const LEAN_NODES: Resource<NodeObject> = {
  group: "",
  version: "v1",
  kind: "Node",
  plural: "nodes",
  namespaced: false,
  schema: v.object({ metadata: LEAN_METADATA, spec: v.fallback(v.optional(TAINTS), undefined) }),
};

/** `alive`: there is a Node object and nobody said that it is out of service; NotReady is alive. */
export type NodeState = "alive" | "out-of-service" | "absent";

const taintsOf = (node: NodeObject): readonly string[] => {
  const spec = v.safeParse(TAINTS, node.spec);
  return spec.success ? spec.output.taints.map((taint) => taint.key) : [];
};

export function nodeState(node: NodeObject | undefined): NodeState {
  if (node === undefined) return "absent";
  return taintsOf(node).includes(OUT_OF_SERVICE_TAINT) ? "out-of-service" : "alive";
}

/** Whether a pod that is deleted on that node goes, and a new one starts. */
export const isHealthy = (node: NodeObject | undefined): boolean =>
  nodeState(node) === "alive" &&
  node !== undefined &&
  !taintsOf(node).some((taint) => UNHEALTHY_TAINTS.includes(taint));

export interface DaemonSet {
  readonly metadata: Metadata;
  readonly generation: number;
  readonly observedGeneration: number;
}

export const DAEMON_SETS: Resource<DaemonSet> = {
  group: "apps",
  version: "v1",
  kind: "DaemonSet",
  plural: "daemonsets",
  namespaced: true,
  schema: v.pipe(
    v.object({
      metadata: v.intersect([METADATA, v.object({ generation: v.optional(v.number(), 0) })]),
      status: v.optional(v.object({ observedGeneration: v.optional(v.number(), 0) }), {}),
    }),
    v.transform(({ metadata, status }) => ({
      metadata,
      generation: metadata.generation,
      observedGeneration: status.observedGeneration,
    })),
  ),
};

/** One template that a DaemonSet had. */
export interface ControllerRevision {
  readonly metadata: Metadata;
  readonly revision: number;
}

export const CONTROLLER_REVISIONS: Resource<ControllerRevision> = {
  group: "apps",
  version: "v1",
  kind: "ControllerRevision",
  plural: "controllerrevisions",
  namespaced: true,
  schema: v.object({ metadata: METADATA, revision: v.number() }),
};
