import type { MetricSpec } from "./specs.ts";

/** Everything that the adaptor tells of itself, in the order of docs/metrics.md. No label has a value that names a pod. */
export const ADAPTOR = {
  // ---- the process ------------------------------------------------------------------------------------------
  buildInfo: {
    kind: "gauge",
    name: "peerpods_build_info",
    help: "Always 1; what runs.",
    labels: ["component", "version", "node", "provider"],
  },
  owner: {
    kind: "gauge",
    name: "peerpods_owner",
    help: "1 while this adaptor owns the node, 0 while it stands by.",
    labels: [],
  },
  epoch: {
    kind: "gauge",
    name: "peerpods_owner_epoch",
    help: "Number of this term of ownership; it grows with every take-over.",
    labels: [],
  },

  // ---- pods and VMs -----------------------------------------------------------------------------------------
  sandboxes: {
    kind: "gauge",
    name: "peerpods_sandboxes",
    help: "Pod sandboxes of this node now, by state.",
    labels: ["state"],
  },
  vms: {
    kind: "gauge",
    name: "peerpods_vms",
    help: "Pod VMs of this node now, by state.",
    labels: ["state"],
  },
  poolVms: {
    kind: "gauge",
    name: "peerpods_pool_vms",
    help: "VMs of the warm pool now, by state; `waiting` ones suit a pod at once.",
    labels: ["state"],
  },
  slotsUsed: {
    kind: "gauge",
    name: "peerpods_vm_slots_used",
    help: "Slots under the limit that are taken, deleting VMs and reservations included.",
    labels: [],
  },
  slotsLimit: {
    kind: "gauge",
    name: "peerpods_vm_slots_limit",
    help: "PEERPODS_LIMIT_PER_NODE; absent when there is no limit.",
    labels: [],
  },
  deletesFailing: {
    kind: "gauge",
    name: "peerpods_vm_deletes_failing",
    help: "VMs that are to go and whose delete has failed so far; it is tried again.",
    labels: [],
  },
  vmsGone: {
    kind: "counter",
    name: "peerpods_vms_vanished_total",
    help: "VMs of running pods that the cloud said are gone.",
    labels: [],
    zero: true,
  },
  abandoned: {
    kind: "counter",
    name: "peerpods_sandboxes_abandoned_total",
    help: "Sandboxes that were stopped because their shim was gone for good.",
    labels: [],
    zero: true,
  },

  // ---- how long things take, and what fails -----------------------------------------------------------------
  stepDuration: {
    kind: "histogram",
    name: "peerpods_step_duration_seconds",
    help: "How long a step of a pod's life took when it succeeded.",
    labels: ["step"],
    buckets: "steps",
  },
  stepFailures: {
    kind: "counter",
    name: "peerpods_step_failures_total",
    help: "Steps of a pod's life that failed, by kind of error (docs/errors.md).",
    labels: ["step", "kind"],
  },
  refusals: {
    kind: "counter",
    name: "peerpods_refusals_total",
    help: "CreateVM and StartVM calls that were answered with an error, by its kind (docs/errors.md).",
    labels: ["kind"],
    each: [
      "cancelled",
      "invalid-request",
      "invalid-config",
      "invalid-initdata",
      "deadline",
      "not-found",
      "gone",
      "already-exists",
      "conflict",
      "unauthorised",
      "limit",
      "quota",
      "capacity",
      "throttled",
      "too-large",
      "wrong-state",
      "unsupported",
      "internal",
      "unavailable",
      "network",
      "journal",
    ],
  },

  // ---- the cloud --------------------------------------------------------------------------------------------
  cloudCalls: {
    kind: "counter",
    name: "peerpods_cloud_calls_total",
    help: "Tries of calls to the cloud, by operation and outcome.",
    labels: ["provider", "operation", "outcome"],
  },
  cloudRepeats: {
    kind: "counter",
    name: "peerpods_cloud_call_repeats_total",
    help: "Tries of calls to the cloud that repeated a failed one.",
    labels: ["provider", "operation"],
  },
  cloudDuration: {
    kind: "histogram",
    name: "peerpods_cloud_call_duration_seconds",
    help: "How long one try of a call to the cloud took, whatever came of it.",
    labels: ["provider", "operation"],
    buckets: "calls",
  },
  quotaLeft: {
    kind: "gauge",
    name: "peerpods_cloud_quota_vms_left",
    help: "How many more VMs of the default size the cloud would let us make; absent when it does not tell.",
    labels: [],
  },

  // ---- what nobody owns -------------------------------------------------------------------------------------
  reaperRounds: {
    kind: "counter",
    name: "peerpods_reaper_rounds_total",
    help: "Looks for VMs that nobody owns; `failed`: cloud or container runtime could not be asked.",
    labels: ["outcome"],
    each: ["ok", "failed"],
  },
  orphanVms: {
    kind: "gauge",
    name: "peerpods_orphan_vms",
    help: "VMs of this node without an owner at the last look.",
    labels: [],
  },
  orphans: {
    kind: "counter",
    name: "peerpods_orphans_reaped_total",
    help: "VMs without an owner that the reaper deleted, or in a dry run would have.",
    labels: ["action"],
    each: ["deleted", "dry-run"],
  },

  // ---- the journal ------------------------------------------------------------------------------------------
  journalWrites: {
    kind: "counter",
    name: "peerpods_journal_writes_total",
    help: "Transactions of the journal.",
    labels: ["outcome"],
    each: ["ok", "failed"],
  },
  journalDuration: {
    kind: "histogram",
    name: "peerpods_journal_write_duration_seconds",
    help: "How long a transaction of the journal took, the disk's part included.",
    labels: [],
    buckets: "writes",
  },
  journalBytes: {
    kind: "gauge",
    name: "peerpods_journal_size_bytes",
    help: "Size of the journal's files.",
    labels: ["file"],
  },

  // ---- the shim-proxy, which counts since its own start -----------------------------------------------------
  proxyAttached: {
    kind: "gauge",
    name: "peerpods_shim_proxy_attached",
    help: "1 while a shim-proxy is attached; without one no pod can start.",
    labels: [],
  },
  proxyInfo: {
    kind: "gauge",
    name: "peerpods_shim_proxy_info",
    help: "Always 1; the shim-proxy that is attached.",
    labels: ["version"],
  },
  proxyStart: {
    kind: "gauge",
    name: "peerpods_shim_proxy_start_time_seconds",
    help: "When the shim-proxy began, in seconds since 1970: a later one means that pods were lost.",
    labels: [],
  },
  proxyMemory: {
    kind: "gauge",
    name: "peerpods_shim_proxy_resident_memory_bytes",
    help: "Memory of the shim-proxy.",
    labels: [],
  },
  proxyCpu: {
    kind: "counter",
    name: "peerpods_shim_proxy_cpu_seconds_total",
    help: "CPU time of the shim-proxy.",
    labels: [],
  },
  shimConnections: {
    kind: "gauge",
    name: "peerpods_shim_connections",
    help: "Connections of shims now, to hypervisor.sock and to agents.",
    labels: ["to"],
  },
  pendingCalls: {
    kind: "gauge",
    name: "peerpods_pending_calls",
    help: "Calls that shims wait for now, to the hypervisor and to agents.",
    labels: ["to"],
  },
  owedStops: {
    kind: "gauge",
    name: "peerpods_owed_stops",
    help: "Stops that the shim-proxy remembers and no adaptor has taken over yet.",
    labels: [],
  },
  links: {
    kind: "gauge",
    name: "peerpods_links",
    help: "Sandboxes at the shim-proxy, by the state of the link to their VM; `none`: no VM yet.",
    labels: ["state"],
  },
  linkBytes: {
    kind: "counter",
    name: "peerpods_link_bytes_total",
    help: "Bytes between the node and its pod VMs, agent connections only.",
    labels: ["direction"],
  },
  linkDials: {
    kind: "counter",
    name: "peerpods_link_dials_total",
    help: "Connections to pod VMs that were tried.",
    labels: ["outcome"],
  },
  linkBreaks: {
    kind: "counter",
    name: "peerpods_link_breaks_total",
    help: "Links to pod VMs that broke.",
    labels: [],
  },
  linkReconnects: {
    kind: "counter",
    name: "peerpods_link_reconnects_total",
    help: "Broken links that came back.",
    labels: [],
  },
  linksGivenUp: {
    kind: "counter",
    name: "peerpods_links_given_up_total",
    help: "Links that were given up: their pods ended.",
    labels: [],
  },
  losses: {
    kind: "counter",
    name: "peerpods_losses_total",
    help: "What pods lost by broken links, by kind (docs/link-losses.md).",
    labels: ["kind"],
  },
} as const;

/** All of them, for a registry. */
export const ADAPTOR_SPECS: readonly MetricSpec[] = Object.values(ADAPTOR);
