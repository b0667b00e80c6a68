import type { OptionSpec } from "../../providers/contract.ts";
import { KUBERNETES } from "./kubernetes-options.ts";
import { METRICS_OPTIONS } from "./metrics-options.ts";
import {
  absolutePath,
  cidr,
  MAX_PODS_DIR_BYTES,
  MAX_VNI,
  notNegativeDuration,
  numberBetween,
  oneOf,
  podsDir,
  port,
  positiveDuration,
  socketPath,
} from "./option-checks.ts";
import { POD_VM } from "./pod-vm-options.ts";
import {
  ADMIN_SOCKET,
  HYPERVISOR_SOCKET,
  type OptionGroup,
  PROXY_SOCKET,
  RUN_DIR,
  STATE_DIR,
} from "./shared-options.ts";

const PODS_DIR: OptionSpec = {
  flag: "pods-dir",
  env: "PODS_DIR",
  kind: "string",
  default: "/run/peerpod/pods",
  help: `folder of one folder per sandbox (agent.ttrpc); at most ${MAX_PODS_DIR_BYTES} bytes`,
  validate: podsDir,
};

const PLACES: OptionGroup = {
  title: "Sockets and folders",
  options: [
    HYPERVISOR_SOCKET,
    PODS_DIR,
    RUN_DIR,
    PROXY_SOCKET,
    ADMIN_SOCKET,
    STATE_DIR,
    {
      flag: "boot-id-file",
      env: "PEERPODS_BOOT_ID_FILE",
      kind: "string",
      default: "/proc/sys/kernel/random/boot_id",
      help: "file whose content is another after a reboot",
      validate: absolutePath,
    },
  ],
};

const TLS: OptionGroup = {
  title: "TLS between node and pod VM",
  options: [
    {
      flag: "ca-cert-file",
      env: "CACERT_FILE",
      kind: "string",
      help: "CA that signed the pod VMs' certificate (PEM); with CERT_FILE and CERT_KEY, or none: keys are made per VM",
    },
    {
      flag: "cert-file",
      env: "CERT_FILE",
      kind: "string",
      help: "client certificate (PEM); goes with CACERT_FILE",
    },
    { flag: "cert-key", env: "CERT_KEY", kind: "string", help: "file of the client certificate's key (PEM)" },
    {
      flag: "tls-min-version",
      env: "TLS_MIN_VERSION",
      kind: "string",
      help: "VersionTLS12 or VersionTLS13; unset: 1.2. Fixed in each VM when it is made",
    },
    {
      flag: "tls-cipher-suites",
      env: "TLS_CIPHER_SUITES",
      kind: "list",
      help: "IANA names of TLS 1.2 suites; not with VersionTLS13. Fixed in each VM when it is made",
    },
    {
      flag: "tls-skip-verify",
      env: "TLS_SKIP_VERIFY",
      kind: "bool",
      default: "false",
      help: "accept any certificate of a pod VM; for tests only",
    },
    { flag: "disable-tls", kind: "bool", default: "false", help: "no TLS at all; for tests only" },
  ],
};

const NETWORK: OptionGroup = {
  title: "Network",
  options: [
    {
      flag: "tunnel-type",
      env: "TUNNEL_TYPE",
      kind: "string",
      default: "vxlan",
      help: "tunnel between node and pod VM: vxlan",
      validate: oneOf(["vxlan"]),
    },
    {
      flag: "vxlan-port",
      env: "VXLAN_PORT",
      kind: "int",
      default: "4789",
      help: "UDP port of the tunnel, on both sides",
      validate: port,
    },
    {
      flag: "vxlan-min-id",
      kind: "int",
      default: "555000",
      help: "lowest VXLAN id; each pod gets the first free one from here",
      validate: numberBetween(1, MAX_VNI),
    },
    {
      flag: "host-interface",
      kind: "string",
      help: "interface of the node that tunnels use; unset: the one of the default route",
    },
    {
      flag: "ext-network-via-podvm",
      env: "EXTERNAL_NETWORK_VIA_PODVM",
      kind: "bool",
      default: "false",
      help: "experimental: traffic of the pod that leaves the cluster goes out of the pod VM",
    },
    {
      flag: "pod-subnet-cidrs",
      env: "POD_SUBNET_CIDRS",
      kind: "list",
      help: "experimental: networks that stay on the tunnel, such as 10.244.0.0/16",
      validate: cidr,
    },
  ],
};

const LIMITS: OptionGroup = {
  title: "Limits and time",
  options: [
    {
      flag: "peerpods-limit-per-node",
      env: "PEERPODS_LIMIT_PER_NODE",
      kind: "int",
      default: "10",
      live: true,
      help: "most pod VMs of this node, advertised and enforced; 0 admits none, negative: no limit and not advertised",
    },
    {
      flag: "limit-wait",
      env: "PEERPODS_LIMIT_WAIT",
      kind: "duration",
      default: "30s",
      live: true,
      help: "how long CreateVM waits at the limit for a VM that is being deleted",
      validate: notNegativeDuration,
    },
    {
      flag: "create-reservation-timeout",
      env: "PEERPODS_CREATE_RESERVATION_TIMEOUT",
      kind: "duration",
      default: "10m",
      live: true,
      help: "how long a CreateVM without its StartVM counts against the limit",
      validate: positiveDuration,
    },
    {
      flag: "proxy-timeout",
      env: "PROXY_TIMEOUT",
      kind: "duration",
      default: "5m",
      live: true,
      help: "how long a new pod VM may take until its agent can be reached",
      validate: positiveDuration,
    },
    {
      flag: "vm-delete-attempt-timeout",
      env: "PEERPODS_VM_DELETE_ATTEMPT_TIMEOUT",
      kind: "duration",
      default: "10m",
      live: true,
      help: "how long one try to delete a VM may take",
      validate: positiveDuration,
    },
    {
      flag: "vm-delete-retry-max",
      env: "PEERPODS_VM_DELETE_RETRY_MAX",
      kind: "duration",
      default: "5m",
      live: true,
      help: "longest pause between two tries to delete a VM; it is tried until it is gone",
      validate: positiveDuration,
    },
    {
      flag: "orphan-grace",
      env: "PEERPODS_ORPHAN_GRACE",
      kind: "duration",
      default: "60s",
      live: true,
      help: "how long a sandbox whose shim is gone is kept when no container runtime can be asked",
      validate: positiveDuration,
    },
    {
      flag: "vm-check-interval",
      env: "PEERPODS_VM_CHECK_INTERVAL",
      kind: "duration",
      default: "30s",
      live: true,
      help: "how often the cloud is asked whether the VMs of running pods are still there; 0: never",
      validate: notNegativeDuration,
    },
  ],
};

const SHIM_PROXY: OptionGroup = {
  title: "Shim-proxy",
  options: [
    {
      flag: "shim-proxy",
      env: "PEERPODS_SHIM_PROXY",
      kind: "string",
      default: "auto",
      help: "external: a process of its own, waited for; embedded: in this process, whose end then ends the pods; auto: external if one answers or NODE_NAME is set, else embedded",
      validate: oneOf(["auto", "external", "embedded"]),
    },
    {
      flag: "shim-proxy-wait",
      env: "PEERPODS_SHIM_PROXY_WAIT",
      kind: "duration",
      default: "30s",
      help: "how long to wait for it at start before deletes are resumed without it",
      validate: notNegativeDuration,
    },
  ],
};

const CLEANING: OptionGroup = {
  title: "Finding what nobody owns",
  options: [
    {
      flag: "cri-endpoint",
      env: "CRI_RUNTIME_ENDPOINT",
      kind: "string",
      help: "socket of the container runtime (containerd, CRI-O), which is asked whether a sandbox still exists; unset: orphan-grace decides, and VMs that nobody owns are not looked for",
      validate: socketPath,
    },
    {
      flag: "reaper",
      env: "PEERPODS_REAPER",
      kind: "string",
      default: "on",
      help: "on: deletes VMs of this cluster and node that no sandbox owns; dry-run: only says which; off. Needs the cluster's identity and cri-endpoint",
      validate: oneOf(["on", "dry-run", "off"]),
    },
    {
      flag: "reaper-interval",
      env: "PEERPODS_REAPER_INTERVAL",
      kind: "duration",
      default: "5m",
      help: "how often it looks while it finds something, and at first; after quiet looks ever less often, up to twelve times this. Two looks, at least 60s apart, must agree",
      validate: positiveDuration,
    },
    {
      flag: "reaper-start-deadline",
      env: "PEERPODS_REAPER_START_DEADLINE",
      kind: "duration",
      default: "20m",
      help: "how long a VM is let alone whose sandbox the container runtime has never listed: it may be starting",
      validate: positiveDuration,
    },
    {
      flag: "reaper-budget",
      env: "PEERPODS_REAPER_BUDGET",
      kind: "int",
      default: "5",
      help: "most VMs that one look deletes",
      validate: numberBetween(1, 1000),
    },
  ],
};

/** What every provider's adaptor takes, beside the provider's own options. */
export const ADAPTOR_OPTIONS: readonly OptionGroup[] = [
  PLACES,
  POD_VM,
  TLS,
  NETWORK,
  LIMITS,
  SHIM_PROXY,
  CLEANING,
  KUBERNETES,
  METRICS_OPTIONS,
];
