import { ADAPTOR } from "./adaptor-specs.ts";
import type { MetricSpec } from "./specs.ts";

/** What the PeerPod controller tells of itself, beside what every process tells, in the order of docs/metrics.md. */
export const CONTROLLER = {
  leader: {
    kind: "gauge",
    name: "peerpods_controller_leader",
    help: "1 while this controller leads, 0 while it stands by; what follows is told by the leader.",
    labels: [],
  },
  peerPods: {
    kind: "gauge",
    name: "peerpods_controller_peer_pods",
    help: "PeerPods now: `deleting` have our finalizer, of which `waiting` are left to their node's adaptor and `living` held back for a pod that lives; `other`: the rest.",
    labels: ["state"],
  },
  peerPodActions: {
    kind: "counter",
    name: "peerpods_controller_peer_pods_total",
    help: "PeerPods that the controller released (VM gone, finalizer removed), deleted (`superseded`, `node-gone`), or failed at.",
    labels: ["action"],
    each: ["released", "superseded", "node-gone", "failed"],
  },
  vms: {
    kind: "gauge",
    name: "peerpods_controller_vms",
    help: "VMs with the cluster's tag at the last look.",
    labels: [],
  },
  suspects: {
    kind: "gauge",
    name: "peerpods_controller_suspect_vms",
    help: "VMs that seemed to be nobody's at the last look, by reason, proven or not yet.",
    labels: ["reason"],
  },
  sweeps: {
    kind: "counter",
    name: "peerpods_controller_sweeps_total",
    help: "Looks at all VMs of the cluster; `failed`: cloud or API server could not be asked, and nothing was deleted.",
    labels: ["outcome"],
    each: ["ok", "failed"],
  },
  vmDeletes: {
    kind: "counter",
    name: "peerpods_controller_vm_deletes_total",
    help: "VMs that were to be deleted; `refused`: a PeerPod named one that is not its own.",
    labels: ["reason", "outcome"],
  },
  vmDeleteDuration: {
    kind: "histogram",
    name: "peerpods_controller_vm_delete_duration_seconds",
    help: "How long a delete took that succeeded.",
    labels: [],
    buckets: "steps",
  },
  shimProxies: {
    kind: "gauge",
    name: "peerpods_controller_shim_proxies",
    help: "Shim-proxy pods by revision; `outdated` ones wait until their node runs no peer pod.",
    labels: ["revision"],
  },
  shimProxiesReplaced: {
    kind: "counter",
    name: "peerpods_controller_shim_proxies_replaced_total",
    help: "Shim-proxy pods that were replaced.",
    labels: [],
    zero: true,
  },
} as const;

export const CONTROLLER_SPECS: readonly MetricSpec[] = [
  ADAPTOR.buildInfo,
  ...Object.values(CONTROLLER),
  ADAPTOR.cloudCalls,
  ADAPTOR.cloudRepeats,
  ADAPTOR.cloudDuration,
];
