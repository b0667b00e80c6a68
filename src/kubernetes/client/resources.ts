import * as v from "valibot";

/** One kind of API object: where it is, and how it is read. */
export interface Resource<T extends ApiObject> {
  /** "" for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Checks what we use and keeps the rest, so that an object that was read can be written back. */
  readonly schema: v.GenericSchema<unknown, T>;
}

export interface ApiObject {
  readonly metadata: Metadata;
}

export interface Metadata {
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly creationTimestamp?: string | null | undefined;
  readonly deletionTimestamp?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly finalizers?: readonly string[] | undefined;
  readonly ownerReferences?: readonly OwnerReference[] | undefined;
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean | undefined;
  readonly blockOwnerDeletion?: boolean | undefined;
}

const TEXTS = v.record(v.string(), v.string());

const OWNER_REFERENCE = v.looseObject({
  apiVersion: v.string(),
  kind: v.string(),
  name: v.string(),
  uid: v.string(),
  controller: v.optional(v.boolean()),
  blockOwnerDeletion: v.optional(v.boolean()),
});

/** Every object's metadata. */
export const METADATA: v.GenericSchema<unknown, Metadata> = v.looseObject({
  name: v.string(),
  namespace: v.optional(v.string()),
  uid: v.string(),
  resourceVersion: v.string(),
  creationTimestamp: v.optional(v.nullable(v.string())),
  deletionTimestamp: v.optional(v.string()),
  labels: v.optional(TEXTS),
  annotations: v.optional(TEXTS),
  finalizers: v.optional(v.array(v.string())),
  ownerReferences: v.optional(v.array(OWNER_REFERENCE)),
});

/** An object of which only the metadata is read. */
const BARE: v.GenericSchema<unknown, ApiObject> = v.looseObject({ metadata: METADATA });

/** A container of a pod, as far as it is read. */
interface Container {
  readonly image?: string | undefined;
  /** What the container sets itself, without `envFrom`. */
  readonly env?: readonly { readonly name?: string | undefined }[] | undefined;
}

export interface Pod extends ApiObject {
  readonly spec: {
    readonly containers?: readonly Container[] | undefined;
    readonly initContainers?: readonly Container[] | undefined;
    readonly nodeName?: string | undefined;
    readonly runtimeClassName?: string | undefined;
    readonly serviceAccountName?: string | undefined;
    readonly imagePullSecrets?: readonly { readonly name?: string | undefined }[] | undefined;
  };
  readonly status?:
    | {
        readonly phase?: string | undefined;
        readonly conditions?: readonly { readonly type: string; readonly status: string }[] | undefined;
      }
    | undefined;
}

const SECRET_NAMES = v.optional(v.array(v.looseObject({ name: v.optional(v.string()) })));
const CONTAINERS = v.optional(v.array(v.looseObject({ image: v.optional(v.string()), env: SECRET_NAMES })));

export const PODS: Resource<Pod> = {
  group: "",
  version: "v1",
  kind: "Pod",
  plural: "pods",
  namespaced: true,
  schema: v.looseObject({
    metadata: METADATA,
    spec: v.looseObject({
      containers: CONTAINERS,
      initContainers: CONTAINERS,
      nodeName: v.optional(v.string()),
      runtimeClassName: v.optional(v.string()),
      serviceAccountName: v.optional(v.string()),
      imagePullSecrets: SECRET_NAMES,
    }),
    status: v.optional(
      v.looseObject({
        phase: v.optional(v.string()),
        conditions: v.optional(v.array(v.looseObject({ type: v.string(), status: v.string() }))),
      }),
    ),
  }),
};

/** Whether its containers have ended for good. */
export const hasEnded = ({ status }: Pod): boolean =>
  status?.phase === "Succeeded" || status?.phase === "Failed";

export interface Node extends ApiObject {
  readonly status?:
    | {
        readonly capacity?: Readonly<Record<string, string>> | undefined;
        readonly allocatable?: Readonly<Record<string, string>> | undefined;
      }
    | undefined;
}

export const NODES: Resource<Node> = {
  group: "",
  version: "v1",
  kind: "Node",
  plural: "nodes",
  namespaced: false,
  schema: v.looseObject({
    metadata: METADATA,
    status: v.optional(v.looseObject({ capacity: v.optional(TEXTS), allocatable: v.optional(TEXTS) })),
  }),
};

export const NAMESPACES: Resource<ApiObject> = {
  group: "",
  version: "v1",
  kind: "Namespace",
  plural: "namespaces",
  namespaced: false,
  schema: BARE,
};

export interface ServiceAccount extends ApiObject {
  readonly imagePullSecrets?: readonly { readonly name?: string | undefined }[] | undefined;
}

export const SERVICE_ACCOUNTS: Resource<ServiceAccount> = {
  group: "",
  version: "v1",
  kind: "ServiceAccount",
  plural: "serviceaccounts",
  namespaced: true,
  schema: v.looseObject({ metadata: METADATA, imagePullSecrets: SECRET_NAMES }),
};

export interface SecretObject extends ApiObject {
  readonly type?: string | undefined;
  /** Base64. */
  readonly data?: Readonly<Record<string, string>> | undefined;
}

export const SECRETS: Resource<SecretObject> = {
  group: "",
  version: "v1",
  kind: "Secret",
  plural: "secrets",
  namespaced: true,
  schema: v.looseObject({ metadata: METADATA, type: v.optional(v.string()), data: v.optional(TEXTS) }),
};

export interface ConfigMap extends ApiObject {
  readonly data?: Readonly<Record<string, string>> | undefined;
}

export const CONFIG_MAPS: Resource<ConfigMap> = {
  group: "",
  version: "v1",
  kind: "ConfigMap",
  plural: "configmaps",
  namespaced: true,
  schema: v.looseObject({ metadata: METADATA, data: v.optional(TEXTS) }),
};

export interface Event extends ApiObject {
  readonly reason?: string | undefined;
  readonly note?: string | undefined;
  readonly type?: string | undefined;
  readonly regarding?: { readonly name?: string | undefined; readonly uid?: string | undefined } | undefined;
  readonly series?: { readonly count: number; readonly lastObservedTime: string } | null | undefined;
}

export const EVENTS: Resource<Event> = {
  group: "events.k8s.io",
  version: "v1",
  kind: "Event",
  plural: "events",
  namespaced: true,
  schema: v.looseObject({
    metadata: METADATA,
    reason: v.optional(v.string()),
    note: v.optional(v.string()),
    type: v.optional(v.string()),
    regarding: v.optional(v.looseObject({ name: v.optional(v.string()), uid: v.optional(v.string()) })),
    series: v.optional(v.nullable(v.looseObject({ count: v.number(), lastObservedTime: v.string() }))),
  }),
};

export interface Lease extends ApiObject {
  readonly spec?:
    | {
        readonly holderIdentity?: string | undefined;
        readonly leaseDurationSeconds?: number | undefined;
        /** RFC 3339 with microseconds. */
        readonly acquireTime?: string | undefined;
        readonly renewTime?: string | undefined;
        readonly leaseTransitions?: number | undefined;
      }
    | undefined;
}

export const LEASES: Resource<Lease> = {
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  plural: "leases",
  namespaced: true,
  schema: v.looseObject({
    metadata: METADATA,
    spec: v.optional(
      v.looseObject({
        holderIdentity: v.optional(v.string()),
        leaseDurationSeconds: v.optional(v.number()),
        acquireTime: v.optional(v.string()),
        renewTime: v.optional(v.string()),
        leaseTransitions: v.optional(v.number()),
      }),
    ),
  }),
};

/** A cloud VM that belongs to a pod; as the Go adaptor's CRD has it. A hand-made one may lack anything below the metadata. */
export interface PeerPod extends ApiObject {
  readonly spec?:
    | { readonly cloudProvider?: string | undefined; readonly instanceID?: string | undefined }
    | undefined;
  readonly status?: { readonly cleand?: boolean | undefined } | undefined;
}

export const PEER_PODS: Resource<PeerPod> = {
  group: "confidentialcontainers.org",
  version: "v1alpha1",
  kind: "PeerPod",
  plural: "peerpods",
  namespaced: true,
  schema: v.looseObject({
    metadata: METADATA,
    spec: v.optional(
      v.looseObject({ cloudProvider: v.optional(v.string()), instanceID: v.optional(v.string()) }),
    ),
    status: v.optional(v.looseObject({ cleand: v.optional(v.boolean()) })),
  }),
};

export interface MutatingWebhookConfiguration extends ApiObject {
  readonly webhooks?:
    | readonly {
        readonly name: string;
        readonly clientConfig: { readonly caBundle?: string | undefined };
      }[]
    | undefined;
}

export const MUTATING_WEBHOOK_CONFIGURATIONS: Resource<MutatingWebhookConfiguration> = {
  group: "admissionregistration.k8s.io",
  version: "v1",
  kind: "MutatingWebhookConfiguration",
  plural: "mutatingwebhookconfigurations",
  namespaced: false,
  schema: v.looseObject({
    metadata: METADATA,
    webhooks: v.optional(
      v.array(
        v.looseObject({
          name: v.string(),
          clientConfig: v.looseObject({ caBundle: v.optional(v.string()) }),
        }),
      ),
    ),
  }),
};
