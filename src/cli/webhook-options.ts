import { AZURE_SIZE_OPTIONS } from "../../providers/azure/size-options.ts";
import { IBMCLOUD_PROFILE_OPTIONS } from "../../providers/ibmcloud/profile-options.ts";
import {
  BAD_ANNOTATION_POLICIES,
  INIT_POLICIES,
  parseQuantity,
  UNKNOWN_RESOURCE_POLICIES,
} from "../kubernetes/webhook/index.ts";
import { METRICS_OPTIONS } from "./metrics-options.ts";
import {
  absolutePath,
  type Check,
  notNegativeDuration,
  oneOf,
  port,
  positiveDuration,
} from "./option-checks.ts";
import { POD_VM } from "./pod-vm-options.ts";
import { KUBECONFIG, LOG_LEVEL, type OptionGroup } from "./shared-options.ts";

const quantity: Check = (value) =>
  (parseQuantity(value) ?? -1n) >= 0n ? undefined : "expected a quantity such as 500m, 2 or 1Gi";

/** A resource's or a class's name; what is written into patches and compared, not validated as Kubernetes does. */
const word: Check = (value) => (/^\S+$/.test(value) ? undefined : "expected a name, without spaces");

const PODS: OptionGroup = {
  title: "Pods",
  options: [
    {
      flag: "target-runtimeclass",
      env: "TARGET_RUNTIMECLASS",
      kind: "string",
      help: "runtime class of peer pods; all others pass untouched; unset: kata-remote",
      validate: word,
    },
    {
      flag: "target-runtime-class",
      env: "TARGET_RUNTIME_CLASS",
      kind: "string",
      help: "the same under the name that some documents give it",
      validate: word,
    },
    {
      flag: "pod-vm-extended-resource",
      env: "POD_VM_EXTENDED_RESOURCE",
      kind: "string",
      default: "kata.peerpods.io/vm",
      help: "resource of which each pod asks for one",
      validate: word,
    },
    {
      flag: "webhook-init-policy",
      env: "PEERPODS_WEBHOOK_INIT_POLICY",
      kind: "string",
      default: "sum",
      help: "sum: init containers are added to all others; effective: what Kubernetes counts, the most that the pod needs at one time",
      validate: oneOf(INIT_POLICIES),
    },
    {
      flag: "webhook-default-cpu",
      env: "PEERPODS_WEBHOOK_DEFAULT_CPU",
      kind: "string",
      help: "CPU of pods that say nothing of it, as a quantity; unset: the adaptor's default size",
      validate: quantity,
    },
    {
      flag: "webhook-default-memory",
      env: "PEERPODS_WEBHOOK_DEFAULT_MEMORY",
      kind: "string",
      help: "memory of pods that say nothing of it, as a quantity; unset: the adaptor's default size",
      validate: quantity,
    },
    {
      flag: "webhook-gpu-resources",
      env: "PEERPODS_WEBHOOK_GPU_RESOURCES",
      kind: "list",
      default: "nvidia.com/gpu",
      help: "resources that mean a GPU of the VM",
      validate: word,
    },
    {
      flag: "webhook-unknown-resources",
      env: "PEERPODS_WEBHOOK_UNKNOWN_RESOURCES",
      kind: "string",
      default: "strip",
      help: "what becomes of other devices that a container asks of its node, and of resource claims: strip takes them off with a warning, keep leaves them, deny refuses the pod",
      validate: oneOf(UNKNOWN_RESOURCE_POLICIES),
    },
    {
      flag: "webhook-bad-annotations",
      env: "PEERPODS_WEBHOOK_BAD_ANNOTATIONS",
      kind: "string",
      default: "warn",
      help: "what becomes of pods whose annotations ask for a machine type that is not allowed, or hold initdata that no VM would take: warn, deny or ignore",
      validate: oneOf(BAD_ANNOTATION_POLICIES),
    },
  ],
};

const MACHINES: OptionGroup = {
  title: "Machine types, as the adaptor has them",
  options: [
    {
      flag: "cloud-provider",
      env: "CLOUD_PROVIDER",
      kind: "string",
      help: "provider of the pod VMs: whose machine types are checked; unset: none are",
    },
    ...AZURE_SIZE_OPTIONS,
    ...IBMCLOUD_PROFILE_OPTIONS,
    ...POD_VM.options.filter((spec) => spec.flag === "pod-vm-sizing"),
  ],
};

const SERVER: OptionGroup = {
  title: "Server",
  options: [
    {
      flag: "webhook-address",
      env: "PEERPODS_WEBHOOK_ADDRESS",
      kind: "string",
      help: "address to listen on; unset: all",
    },
    {
      flag: "webhook-port",
      env: "PEERPODS_WEBHOOK_PORT",
      kind: "string",
      default: "9443",
      help: "TCP port for the API server, HTTPS",
      validate: port,
    },
    {
      flag: "webhook-health-port",
      env: "PEERPODS_WEBHOOK_HEALTH_PORT",
      kind: "string",
      default: "8081",
      help: "TCP port for probes, HTTP: /healthz and /readyz",
      validate: port,
    },
    {
      flag: "tls-min-version",
      env: "TLS_MIN_VERSION",
      kind: "string",
      help: "VersionTLS12 or VersionTLS13; unset: 1.2",
    },
    {
      flag: "tls-cipher-suites",
      env: "TLS_CIPHER_SUITES",
      kind: "list",
      help: "IANA names of TLS 1.2 suites; not with VersionTLS13",
    },
    {
      flag: "webhook-stop-delay",
      env: "PEERPODS_WEBHOOK_STOP_DELAY",
      kind: "duration",
      default: "5s",
      help: "how long requests are still answered after SIGTERM, until the Service has forgotten this replica",
      validate: notNegativeDuration,
    },
    LOG_LEVEL,
  ],
};

const CERTIFICATES: OptionGroup = {
  title: "Certificates",
  options: [
    {
      flag: "webhook-cert-dir",
      env: "PEERPODS_WEBHOOK_CERT_DIR",
      kind: "string",
      help: "folder with tls.crt and tls.key, followed as they change (cert-manager's Secret, mounted); unset: the webhook makes its own",
      validate: absolutePath,
    },
    {
      flag: "webhook-cert-secret",
      env: "PEERPODS_WEBHOOK_CERT_SECRET",
      kind: "string",
      default: "peer-pods-webhook-cert",
      help: "Secret in which the replicas keep their own certificates; it must exist",
      validate: word,
    },
    {
      flag: "webhook-configuration",
      env: "PEERPODS_WEBHOOK_CONFIGURATION",
      kind: "string",
      default: "peer-pods-webhook",
      help: "MutatingWebhookConfiguration whose caBundle is kept",
      validate: word,
    },
    {
      flag: "webhook-service",
      env: "PEERPODS_WEBHOOK_SERVICE",
      kind: "string",
      default: "peer-pods-webhook",
      help: "Service by which the API server reaches the webhook: the name in its certificate",
      validate: word,
    },
    {
      flag: "webhook-dns-names",
      env: "PEERPODS_WEBHOOK_DNS_NAMES",
      kind: "list",
      help: "more names for the certificate",
      validate: (value) => (/^[A-Za-z0-9.-]{1,253}$/.test(value) ? undefined : "expected a DNS name"),
    },
    {
      flag: "webhook-cert-validity",
      env: "PEERPODS_WEBHOOK_CERT_VALIDITY",
      kind: "duration",
      default: "2160h",
      help: "how long a serving certificate is good; it is replaced when a third of that is left, its authority after ten of them",
      validate: positiveDuration,
    },
    {
      flag: "webhook-cert-overlap",
      env: "PEERPODS_WEBHOOK_CERT_OVERLAP",
      kind: "duration",
      default: "1h",
      help: "how long a new authority is made known before the first certificate of it is served; at most a quarter of the validity",
      validate: notNegativeDuration,
    },
    {
      flag: "webhook-cert-check-interval",
      env: "PEERPODS_WEBHOOK_CERT_CHECK_INTERVAL",
      kind: "duration",
      default: "30s",
      help: "how often Secret and caBundle are looked at, and put right",
      validate: positiveDuration,
    },
    {
      flag: "pod-namespace",
      env: "POD_NAMESPACE",
      kind: "string",
      default: "confidential-containers-system",
      help: "namespace of the webhook, its Service and its Secret",
    },
    KUBECONFIG,
  ],
};

/** What the `webhook` command takes. */
export const WEBHOOK_OPTIONS: readonly OptionGroup[] = [
  PODS,
  MACHINES,
  SERVER,
  CERTIFICATES,
  METRICS_OPTIONS,
];
