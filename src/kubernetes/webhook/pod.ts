import * as v from "valibot";
import { invalidRequest } from "../../errors/index.ts";

/** Resource names and quantities as given: texts from the API server, also numbers in hand-made objects. */
export type Quantities = Readonly<Record<string, string | number>> | null | undefined;

/** What `resources` of a container or pod says. */
export type Resources =
  | {
      readonly requests?: Quantities;
      readonly limits?: Quantities;
      readonly claims?: readonly unknown[] | null | undefined;
    }
  | null
  | undefined;

interface RawContainer {
  readonly name: string;
  readonly resources?: Resources;
  readonly restartPolicy?: string | null | undefined;
}

/** The fields of a pod that the webhook reads. All others pass it unseen, known to it or not. */
export interface Pod {
  readonly metadata?:
    | {
        readonly annotations?: Readonly<Record<string, string>> | null | undefined;
      }
    | null
    | undefined;
  readonly spec?:
    | {
        readonly runtimeClassName?: string | null | undefined;
        readonly hostNetwork?: boolean | null | undefined;
        readonly hostPID?: boolean | null | undefined;
        readonly hostIPC?: boolean | null | undefined;
        readonly containers?: readonly RawContainer[] | null | undefined;
        readonly initContainers?: readonly RawContainer[] | null | undefined;
        readonly resources?: Resources;
      }
    | null
    | undefined;
}

const quantities: v.GenericSchema<unknown, Quantities> = v.nullish(
  v.record(v.string(), v.union([v.string(), v.number()])),
);
const resources: v.GenericSchema<unknown, Resources> = v.nullish(
  v.object({ requests: quantities, limits: quantities, claims: v.nullish(v.array(v.unknown())) }),
);
const text: v.GenericSchema<unknown, string | null | undefined> = v.nullish(v.string());
const flag: v.GenericSchema<unknown, boolean | null | undefined> = v.nullish(v.boolean());
const containers: v.GenericSchema<unknown, readonly RawContainer[] | null | undefined> = v.nullish(
  v.array(v.object({ name: v.optional(v.string(), ""), resources, restartPolicy: text })),
);
const podSchema: v.GenericSchema<unknown, Pod> = v.object({
  metadata: v.nullish(
    v.object({
      annotations: v.nullish(v.record(v.string(), v.string())),
    }),
  ),
  spec: v.nullish(
    v.object({
      runtimeClassName: text,
      hostNetwork: flag,
      hostPID: flag,
      hostIPC: flag,
      containers,
      initContainers: containers,
      resources,
    }),
  ),
});

/** One container, and where it is in the pod. */
export interface PodContainer {
  readonly name: string;
  /** A sidecar is an init container that is restarted for as long as the pod runs. */
  readonly kind: "init" | "sidecar" | "regular";
  /** JSON pointer. */
  readonly path: string;
  readonly resources: Resources;
}

const classSchema: v.GenericSchema<unknown, { spec: { runtimeClassName: string } }> = v.looseObject({
  spec: v.looseObject({ runtimeClassName: v.string() }),
});

/** The runtime class that an object names; "" if none. Looks at nothing else, so that other pods pass whatever they hold. */
export function runtimeClassOf(object: unknown): string {
  const result = v.safeParse(classSchema, object);
  return result.success ? result.output.spec.runtimeClassName : "";
}

/** Throws `invalid-request` naming the field that a pod cannot have. */
export function parsePod(object: unknown): Pod {
  const result = v.safeParse(podSchema, object);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw invalidRequest(`the object is no pod: ${v.getDotPath(issue) ?? "it"}: ${issue.message}`);
}

/** In the order of the pod: init containers first. Ephemeral containers never come with a pod's creation. */
export function containersOf(pod: Pod): readonly PodContainer[] {
  const init = (pod.spec?.initContainers ?? []).map(
    (one, index): PodContainer => ({
      name: one.name,
      kind: one.restartPolicy === "Always" ? "sidecar" : "init",
      path: `/spec/initContainers/${index}`,
      resources: one.resources,
    }),
  );
  const regular = (pod.spec?.containers ?? []).map(
    (one, index): PodContainer => ({
      name: one.name,
      kind: "regular",
      path: `/spec/containers/${index}`,
      resources: one.resources,
    }),
  );
  return [...init, ...regular];
}
