import { NAMESPACE } from "./helm.ts";

/** What each service account may do, in all: `<namespace or *>: <verbs> <resource>.<group>[/<name>]`, sorted. */
export const RIGHTS: Readonly<Record<string, readonly string[]>> = {
  "cloud-api-adaptor": [
    "*: create,get,list,patch,delete peerpods.confidentialcontainers.org",
    "*: create,patch events.events.k8s.io",
    "*: get namespaces/kube-system",
    "*: get pods",
    "*: get secrets",
    "*: get serviceaccounts",
    "*: get,list,watch,patch nodes",
    "*: patch nodes/status",
    `${NAMESPACE}: get,list,watch configmaps/peer-pods-cm`,
  ],
  "peerpods-shim-proxy": [],
  "peer-pods-webhook": [
    "*: get,patch mutatingwebhookconfigurations.admissionregistration.k8s.io/peer-pods-webhook",
    `${NAMESPACE}: get,update secrets/peer-pods-webhook-cert`,
  ],
  "peerpod-controller": [
    "*: get namespaces/kube-system",
    "*: get,list pods",
    "*: get,list,watch nodes",
    "*: get,list,watch,patch,delete peerpods.confidentialcontainers.org",
    `${NAMESPACE}: create leases.coordination.k8s.io`,
    `${NAMESPACE}: delete pods`,
    `${NAMESPACE}: get daemonsets.apps/peerpods-shim-proxy`,
    `${NAMESPACE}: get,update leases.coordination.k8s.io/33f6c5d6.confidentialcontainers.org`,
    `${NAMESPACE}: list controllerrevisions.apps`,
  ],
  "peerpods-cleanup": [
    "*: get namespaces/kube-system",
    "*: list pods",
    "*: list,patch,delete peerpods.confidentialcontainers.org",
    `${NAMESPACE}: get,delete daemonsets.apps/cloud-api-adaptor-daemonset`,
  ],
};
