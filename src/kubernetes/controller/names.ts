/** On PeerPods that our adaptors make: the VM's name in the cloud. */
export const VM_NAME_ANNOTATION = "confidentialcontainers.org/vm-name";

/** The operator's word that a node is shut down for good (Kubernetes, "Non-graceful node shutdown"); with any effect. */
export const OUT_OF_SERVICE_TAINT = "node.kubernetes.io/out-of-service";
/** The node controller's word that it hears nothing, or that the kubelet says it is not ready. */
export const UNHEALTHY_TAINTS: readonly string[] = [
  "node.kubernetes.io/unreachable",
  "node.kubernetes.io/not-ready",
];

/** As the Go controller's, so that one of each never work at the same time. */
export const LEASE_NAME = "33f6c5d6.confidentialcontainers.org";

/** What the chart labels adaptor pods with. */
export const ADAPTOR_SELECTOR = "app=cloud-api-adaptor";

/** Which revision of its DaemonSet a pod was made from; also on the ControllerRevision. */
export const REVISION_LABEL = "controller-revision-hash";

/** What the Go adaptor's VMs are called, which carry no tag of ours. */
export const GO_VM_NAME: RegExp = /^podvm-/;
