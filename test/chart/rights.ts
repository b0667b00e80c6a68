export type Rights = Readonly<Record<string, readonly string[]>>;

/**
 * What each service account of a release in `namespace` may do, in all: `<namespace or *>: <verbs> <resource>.<group>[/<name>]`,
 * sorted.
 */
export const rightsIn = (namespace: string): Rights => ({
  "cloud-api-adaptor": [
    "*: create,get,list,patch,delete peerpods.confidentialcontainers.org",
    "*: create,patch events.events.k8s.io",
    "*: get namespaces/kube-system",
    "*: get pods",
    "*: get secrets",
    "*: get serviceaccounts",
    "*: get,list,watch,patch nodes",
    "*: patch nodes/status",
    `${namespace}: get,list,watch configmaps/peer-pods-cm`,
  ],
  "peerpods-shim-proxy": [],
  "peer-pods-webhook": [
    "*: get,patch mutatingwebhookconfigurations.admissionregistration.k8s.io/peer-pods-webhook",
    `${namespace}: get,update secrets/peer-pods-webhook-cert`,
  ],
  "peerpod-controller": [
    "*: get namespaces/kube-system",
    "*: get,list pods",
    "*: get,list,watch nodes",
    "*: get,list,watch,patch,delete peerpods.confidentialcontainers.org",
    `${namespace}: create leases.coordination.k8s.io`,
    `${namespace}: delete pods`,
    `${namespace}: get daemonsets.apps/peerpods-shim-proxy`,
    `${namespace}: get,update leases.coordination.k8s.io/33f6c5d6.confidentialcontainers.org`,
    `${namespace}: list controllerrevisions.apps`,
  ],
  "peerpods-cleanup": [
    "*: get namespaces/kube-system",
    "*: list pods",
    "*: list,patch,delete peerpods.confidentialcontainers.org",
    `${namespace}: get,delete daemonsets.apps/cloud-api-adaptor-daemonset`,
  ],
});

export const VERBS: readonly string[] = ["create", "get", "list", "watch", "update", "patch", "delete"];

export interface Right {
  /** "" is everywhere. */
  readonly namespace: string;
  readonly verbs: readonly string[];
  readonly groups: readonly string[];
  readonly resources: readonly string[];
  readonly names: readonly string[];
}

/** A right as lines of the table above. */
export function rightLines({ namespace, verbs, groups, resources, names }: Right): readonly string[] {
  const sorted = verbs.toSorted((a, b) => VERBS.indexOf(a) - VERBS.indexOf(b)).join(",");
  const ends = names.length > 0 ? names.map((name) => `/${name}`) : [""];
  return groups.flatMap((group) =>
    resources.flatMap((resource) =>
      ends.map((end) => `${namespace || "*"}: ${sorted} ${resource}${group && `.${group}`}${end}`),
    ),
  );
}
