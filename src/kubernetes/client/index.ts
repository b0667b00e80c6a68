export { type ClusterAccess, clusterAccess } from "./access.ts";
export {
  ClusterClient,
  type DeleteOptions,
  type Draft,
  type JsonPatchOperation,
  type Listed,
  type ObjectRef,
  type Patch,
  type Query,
} from "./client.ts";
export { type FollowHandler, follow } from "./follow.ts";
export {
  labelValue,
  NODE_LABEL,
  PEER_POD_FINALIZER,
  peerPodPlace,
  SANDBOX_LABEL,
} from "./peer-pod-labels.ts";
export { type Reconcile, ReconcileLoop } from "./reconcile-loop.ts";
export {
  type ApiObject,
  CONFIG_MAPS,
  type ConfigMap,
  EVENTS,
  type Event,
  hasEnded,
  LEASES,
  type Lease,
  METADATA,
  type Metadata,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  type MutatingWebhookConfiguration,
  NAMESPACES,
  NODES,
  type Node,
  type OwnerReference,
  PEER_PODS,
  type PeerPod,
  PODS,
  type Pod,
  type Resource,
  SECRETS,
  SERVICE_ACCOUNTS,
  type SecretObject,
  type ServiceAccount,
} from "./resources.ts";
