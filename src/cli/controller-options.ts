import { METRICS_OPTIONS } from "./metrics-options.ts";
import { notNegativeDuration, numberBetween, port, positiveDuration } from "./option-checks.ts";
import { KUBECONFIG, type OptionGroup, PROCESS_OPTIONS } from "./shared-options.ts";

/** What `cloud-api-adaptor controller` takes beside the provider's options. */
export const CONTROLLER_OPTIONS: readonly OptionGroup[] = [
  {
    title: "Controller",
    options: [
      {
        flag: "peerpods-cluster-id",
        env: "CLUSTER_ID",
        kind: "string",
        help: "identity of the cluster in the tags of its VMs, the adaptors' one; unset: the UID of namespace kube-system. Two clusters with the same one would delete each other's VMs",
      },
      {
        flag: "pod-namespace",
        env: "POD_NAMESPACE",
        kind: "string",
        default: "confidential-containers-system",
        help: "namespace of the controller, the adaptors and the shim-proxies; the Lease is there",
      },
      {
        flag: "pod-name",
        env: "POD_NAME",
        kind: "string",
        help: "name of the controller's pod, for the Lease; unset: the host's name",
      },
      {
        flag: "runtimeclass-name",
        env: "RUNTIMECLASS_NAME",
        kind: "string",
        default: "kata-remote",
        help: "runtime class of peer pods: a node with one keeps its shim-proxy",
      },
      {
        flag: "controller-dry-run",
        env: "PEERPODS_CONTROLLER_DRY_RUN",
        kind: "bool",
        default: "false",
        help: "only say what would be deleted",
      },
      {
        flag: "controller-grace",
        env: "PEERPODS_CONTROLLER_GRACE",
        kind: "duration",
        default: "10m",
        help: "how long the adaptor of a living node has for the VM of a PeerPod that is being deleted",
        validate: notNegativeDuration,
      },
      {
        flag: "controller-sweep-interval",
        env: "PEERPODS_CONTROLLER_SWEEP_INTERVAL",
        kind: "duration",
        default: "5m",
        help: "how often all VMs of the cluster are looked at; a node must be gone in two looks at least a minute apart",
        validate: positiveDuration,
      },
      {
        flag: "controller-orphan-grace",
        env: "PEERPODS_CONTROLLER_ORPHAN_GRACE",
        kind: "duration",
        default: "1h",
        help: "how long a VM of a living node that has no adaptor is let alone after its pod is gone",
        validate: positiveDuration,
      },
      {
        flag: "controller-budget",
        env: "PEERPODS_CONTROLLER_BUDGET",
        kind: "int",
        default: "10",
        help: "most VMs without an owner that one look deletes",
        validate: numberBetween(1, 1000),
      },
      {
        flag: "replace-shim-proxies",
        env: "PEERPODS_CONTROLLER_REPLACE_SHIM_PROXIES",
        kind: "bool",
        default: "true",
        help: "replace shim-proxy pods of an older revision on nodes that run no peer pod",
      },
      {
        flag: "shim-proxy-daemonset",
        env: "PEERPODS_SHIM_PROXY_DAEMONSET",
        kind: "string",
        default: "peerpods-shim-proxy",
        help: "name of the shim-proxies' DaemonSet (OnDelete)",
      },
      {
        flag: "controller-health-port",
        env: "PEERPODS_CONTROLLER_HEALTH_PORT",
        kind: "string",
        default: "8081",
        help: "port of GET /healthz and /readyz",
        validate: port,
      },
      KUBECONFIG,
    ],
  },
  METRICS_OPTIONS,
  PROCESS_OPTIONS,
];
