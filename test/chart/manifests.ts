import * as v from "valibot";
import { parseAllDocuments } from "yaml";

const StringsSchema = v.optional(v.record(v.string(), v.string()), {});

const RuleSchema = v.object({
  apiGroups: v.array(v.string()),
  resources: v.array(v.string()),
  resourceNames: v.optional(v.array(v.string()), []),
  verbs: v.array(v.string()),
});

const ContainerSchema = v.looseObject({
  name: v.string(),
  image: v.string(),
  args: v.optional(v.array(v.string()), []),
  env: v.optional(v.array(v.looseObject({ name: v.string(), value: v.optional(v.string()) })), []),
  envFrom: v.optional(v.array(v.record(v.string(), v.object({ name: v.string() }))), []),
  securityContext: v.looseObject({
    allowPrivilegeEscalation: v.boolean(),
    readOnlyRootFilesystem: v.boolean(),
    capabilities: v.object({ drop: v.array(v.string()), add: v.optional(v.array(v.string()), []) }),
  }),
  ports: v.optional(v.array(v.unknown()), []),
  resources: v.object({ requests: StringsSchema, limits: StringsSchema }),
  volumeMounts: v.optional(
    v.array(
      v.looseObject({
        name: v.string(),
        mountPath: v.string(),
        readOnly: v.optional(v.boolean(), false),
        mountPropagation: v.optional(v.string()),
      }),
    ),
    [],
  ),
  startupProbe: v.optional(v.unknown()),
  readinessProbe: v.optional(v.unknown()),
  livenessProbe: v.optional(v.unknown()),
});

const PodSchema = v.looseObject({
  serviceAccountName: v.string(),
  automountServiceAccountToken: v.boolean(),
  hostNetwork: v.optional(v.boolean(), false),
  priorityClassName: v.optional(v.string()),
  terminationGracePeriodSeconds: v.optional(v.number()),
  nodeSelector: StringsSchema,
  tolerations: v.optional(v.array(v.unknown()), []),
  affinity: v.optional(v.looseObject({})),
  securityContext: v.looseObject({
    runAsNonRoot: v.optional(v.boolean(), false),
    runAsUser: v.optional(v.number()),
    seccompProfile: v.object({ type: v.string() }),
    seLinuxOptions: v.optional(v.object({ type: v.string() })),
  }),
  containers: v.array(ContainerSchema),
  volumes: v.optional(
    v.array(v.looseObject({ name: v.string(), hostPath: v.optional(v.looseObject({ path: v.string() })) })),
    [],
  ),
});

const ObjectSchema = v.looseObject({
  apiVersion: v.string(),
  kind: v.string(),
  metadata: v.looseObject({
    name: v.string(),
    namespace: v.optional(v.string()),
    labels: StringsSchema,
    annotations: StringsSchema,
  }),
});

const WorkloadSchema = v.looseObject({
  spec: v.looseObject({
    selector: v.optional(v.object({ matchLabels: v.record(v.string(), v.string()) })),
    template: v.object({
      metadata: v.object({ labels: StringsSchema, annotations: StringsSchema }),
      spec: PodSchema,
    }),
  }),
});

type Strings = Readonly<Record<string, string>>;
type Fields = Readonly<Record<string, unknown>>;

export interface Manifest extends Fields {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Fields & {
    readonly name: string;
    readonly namespace?: string | undefined;
    readonly labels: Strings;
    readonly annotations: Strings;
  };
}

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
  readonly verbs: readonly string[];
}

export interface VolumeMount extends Fields {
  readonly name: string;
  readonly mountPath: string;
  readonly readOnly: boolean;
  readonly mountPropagation?: string | undefined;
}

export interface Container extends Fields {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly env: readonly (Fields & { readonly name: string; readonly value?: string | undefined })[];
  readonly envFrom: readonly Readonly<Record<string, { readonly name: string }>>[];
  readonly securityContext: Fields & {
    readonly capabilities: { readonly drop: readonly string[]; readonly add: readonly string[] };
  };
  readonly ports: readonly unknown[];
  readonly resources: { readonly requests: Strings; readonly limits: Strings };
  readonly volumeMounts: readonly VolumeMount[];
  readonly startupProbe?: unknown;
  readonly readinessProbe?: unknown;
  readonly livenessProbe?: unknown;
}

export interface Pod extends Fields {
  readonly serviceAccountName: string;
  readonly automountServiceAccountToken: boolean;
  readonly hostNetwork: boolean;
  readonly priorityClassName?: string | undefined;
  readonly terminationGracePeriodSeconds?: number | undefined;
  readonly nodeSelector: Strings;
  readonly tolerations: readonly unknown[];
  readonly affinity?: Fields | undefined;
  readonly securityContext: Fields & {
    readonly runAsNonRoot: boolean;
    readonly runAsUser?: number | undefined;
    readonly seccompProfile: { readonly type: string };
    readonly seLinuxOptions?: { readonly type: string } | undefined;
  };
  readonly containers: readonly Container[];
  readonly volumes: readonly (Fields & {
    readonly name: string;
    readonly hostPath?: (Fields & { readonly path: string }) | undefined;
  })[];
}

export interface PodTemplate {
  readonly metadata: { readonly labels: Strings; readonly annotations: Strings };
  readonly spec: Pod;
}

const WORKLOADS = ["DaemonSet", "Deployment", "Job"];
const CLUSTER_SCOPED = [
  "ClusterRole",
  "ClusterRoleBinding",
  "CustomResourceDefinition",
  "MutatingWebhookConfiguration",
  "Namespace",
  "RuntimeClass",
  "SecurityContextConstraints",
  "ValidatingAdmissionPolicy",
  "ValidatingAdmissionPolicyBinding",
];

/** A rule, and where it holds: "" is everywhere. */
export interface Grant {
  readonly namespace: string;
  readonly rule: Rule;
}

/** Rendered objects. */
export class Manifests {
  readonly objects: readonly Manifest[];

  constructor(objects: readonly Manifest[]) {
    this.objects = objects;
  }

  ofKind(kind: string): readonly Manifest[] {
    return this.objects.filter((object) => object.kind === kind);
  }

  find(kind: string, name: string): Manifest | undefined {
    return this.ofKind(kind).find((object) => object.metadata.name === name);
  }

  get(kind: string, name: string): Manifest {
    const found = this.find(kind, name);
    if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
    return found;
  }

  /** Those that run pods. */
  workloads(): readonly Manifest[] {
    return this.objects.filter((object) => WORKLOADS.includes(object.kind));
  }

  template(kind: string, name: string): PodTemplate {
    return v.parse(WorkloadSchema, this.get(kind, name)).spec.template;
  }

  selector(kind: string, name: string): Readonly<Record<string, string>> {
    return v.parse(WorkloadSchema, this.get(kind, name)).spec.selector?.matchLabels ?? {};
  }

  /** The only container of a workload's pods. */
  container(kind: string, name: string): Container {
    const [container, ...others] = this.template(kind, name).spec.containers;
    if (container === undefined || others.length > 0) throw new Error(`${name} has not one container`);
    return container;
  }

  data(kind: "ConfigMap" | "Secret", name: string): Readonly<Record<string, string>> {
    const { data, stringData } = v.parse(
      v.looseObject({ data: StringsSchema, stringData: StringsSchema }),
      this.get(kind, name),
    );
    return { ...data, ...stringData };
  }

  /** Everything that a service account may do. */
  grantsOf(namespace: string, serviceAccount: string): readonly Grant[] {
    const Binding = v.looseObject({
      roleRef: v.object({ apiGroup: v.string(), kind: v.string(), name: v.string() }),
      subjects: v.array(v.looseObject({ kind: v.string(), name: v.string(), namespace: v.string() })),
    });
    return [...this.ofKind("RoleBinding"), ...this.ofKind("ClusterRoleBinding")].flatMap((object) => {
      const { roleRef, subjects } = v.parse(Binding, object);
      const isBound = subjects.some((one) => one.name === serviceAccount && one.namespace === namespace);
      if (!isBound) return [];
      const where = object.metadata.namespace ?? "";
      const role = this.ofKind(roleRef.kind).find(
        ({ metadata }) =>
          metadata.name === roleRef.name && (roleRef.kind === "ClusterRole" || metadata.namespace === where),
      );
      const { rules } = v.parse(v.looseObject({ rules: v.array(RuleSchema) }), role);
      return rules.map((rule) => ({ namespace: where, rule }));
    });
  }
}

/** Reads what `helm template` printed. Throws where an object is not as those of this chart are. */
export function readManifests(text: string): Manifests {
  const objects = parseAllDocuments(text, { uniqueKeys: true }).flatMap((document): Manifest[] => {
    const [error] = document.errors;
    if (error !== undefined) throw error;
    const object: unknown = document.toJS();
    return object === null ? [] : [v.parse(ObjectSchema, object)];
  });
  for (const { kind, metadata } of objects) {
    const isClusterScoped = CLUSTER_SCOPED.includes(kind);
    if (isClusterScoped === (metadata.namespace !== undefined))
      throw new Error(`${kind} ${metadata.name} ${isClusterScoped ? "has" : "lacks"} a namespace`);
  }
  return new Manifests(objects);
}
