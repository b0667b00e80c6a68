import type { OptionReader } from "../../providers/contract.ts";
import { parseSizingPolicy } from "../../providers/selection/index.ts";
import { describeError } from "../errors/index.ts";
import {
  BAD_ANNOTATION_POLICIES,
  type ClusterCertificatesOptions,
  INIT_POLICIES,
  parseQuantity,
  UNKNOWN_RESOURCE_POLICIES,
  type WebhookPolicy,
  type WebhookServerOptions,
} from "../kubernetes/webhook/index.ts";
import type { LogLevel } from "../platform/index.ts";
import { DEFAULT_TLS_PROFILE, parseTlsProfile, type TlsProfile, tlsProfileWarnings } from "../tls/index.ts";
import { flatten, logLevel, refuseIfAny } from "./config.ts";
import { metricsAddress } from "./metrics-options.ts";
import { type OptionResult, type OptionSources, readOptions } from "./options.ts";
import { allowedMachineTypes, azureEnclaveMachine, type MachineOptions } from "./webhook-machines.ts";
import { WEBHOOK_OPTIONS } from "./webhook-options.ts";

/** All that an operator told one webhook, checked. */
export interface WebhookConfig {
  readonly policy: WebhookPolicy;
  readonly server: WebhookServerOptions;
  readonly stopDelayMs: number;
  readonly certificates:
    | { readonly from: "folder"; readonly folder: string }
    | { readonly from: "cluster"; readonly kubeconfig: string; readonly options: ClusterCertificatesOptions };
  /** CLOUD_PROVIDER; "" if not set. */
  readonly provider: string;
  /** undefined: no metrics. */
  readonly metrics: { readonly host: string; readonly port: number } | undefined;
  readonly logLevel: LogLevel;
  /** One sentence each, to be logged at start. */
  readonly warnings: readonly string[];
}

const DEFAULT_CLASS = "kata-remote";
/** A new authority must have been known for long before the last certificate of the old one ends. */
const MAX_OVERLAP = 1 / 4;

/** The configuration of `cloud-api-adaptor webhook`. Throws one `invalid-config` that names every problem. */
export function readWebhookConfig(surroundings: OptionSources): WebhookConfig {
  const options = readOptions(flatten(WEBHOOK_OPTIONS), surroundings);
  const problems = [...options.problems];
  const tlsProfile = readTlsProfile(options, problems);
  const policy = readPolicy(options, problems);
  const folder = options.string("webhook-cert-dir");
  const certificates: WebhookConfig["certificates"] =
    folder === "" ? readCertificates(options, problems) : { from: "folder", folder };
  refuseIfAny(problems);
  return {
    policy,
    server: {
      address: options.string("webhook-address"),
      port: Number(options.string("webhook-port")),
      healthPort: Number(options.string("webhook-health-port")),
      tlsProfile,
    },
    stopDelayMs: options.durationMs("webhook-stop-delay") ?? 0,
    certificates,
    provider: options.string("cloud-provider"),
    metrics: metricsAddress(options),
    logLevel: logLevel(options),
    warnings: [...options.warnings, ...tlsProfileWarnings(tlsProfile)],
  };
}

function readTlsProfile(options: OptionReader, problems: string[]): TlsProfile {
  try {
    return parseTlsProfile({
      minVersion: options.string("tls-min-version"),
      cipherSuites: options.list("tls-cipher-suites"),
    });
  } catch (error) {
    problems.push(describeError(error));
    return DEFAULT_TLS_PROFILE;
  }
}

function readPolicy(options: OptionReader, problems: string[]): WebhookPolicy {
  const machines = readMachines(options);
  const sizing = parseSizingPolicy(options.string("pod-vm-sizing"));
  const isAzure = options.string("cloud-provider") === "azure";
  const oneOf = <T extends string>(flag: string, words: readonly [T, ...T[]]): T =>
    words.find((word) => word === options.string(flag)) ?? words[0];
  const quantity = (flag: string): bigint => parseQuantity(options.string(flag)) ?? 0n;
  return {
    runtimeClass: readRuntimeClass(options, problems),
    extendedResource: options.string("pod-vm-extended-resource"),
    initContainers: oneOf("webhook-init-policy", INIT_POLICIES),
    defaultCpu: quantity("webhook-default-cpu"),
    defaultMemory: quantity("webhook-default-memory"),
    gpuResources: options.list("webhook-gpu-resources"),
    unknownResources: oneOf("webhook-unknown-resources", UNKNOWN_RESOURCE_POLICIES),
    badAnnotations: oneOf("webhook-bad-annotations", BAD_ANNOTATION_POLICIES),
    allowedMachineTypes: machines === undefined ? undefined : allowedMachineTypes(machines),
    chooseEnclaveMachine:
      machines !== undefined && isAzure ? azureEnclaveMachine(machines, sizing) : undefined,
  };
}

function readRuntimeClass(options: OptionReader, problems: string[]): string {
  const one = options.string("target-runtimeclass");
  const other = options.string("target-runtime-class");
  if (one !== "" && other !== "" && one !== other) {
    problems.push(`TARGET_RUNTIMECLASS=${one} and TARGET_RUNTIME_CLASS=${other} differ; set one of the two`);
  }
  return one || other || DEFAULT_CLASS;
}

function readMachines(options: OptionReader): MachineOptions | undefined {
  switch (options.string("cloud-provider")) {
    case "azure":
      return {
        defaultSize: options.string("instance-size"),
        sizes: options.list("instance-sizes"),
        key: "AZURE_INSTANCE_SIZES",
      };
    case "ibmcloud":
      return {
        defaultSize: options.string("profile-name"),
        sizes: options.list("profile-list"),
        key: "IBMCLOUD_PODVM_INSTANCE_PROFILE_LIST",
      };
    default:
      return undefined;
  }
}

function readCertificates(options: OptionResult, problems: string[]): WebhookConfig["certificates"] {
  const namespace = options.string("pod-namespace");
  const service = `${options.string("webhook-service")}.${namespace}`;
  const validityMs = options.durationMs("webhook-cert-validity") ?? 0;
  const overlapMs = options.durationMs("webhook-cert-overlap") ?? 0;
  if (overlapMs > validityMs * MAX_OVERLAP) {
    problems.push(
      "PEERPODS_WEBHOOK_CERT_OVERLAP is more than a quarter of PEERPODS_WEBHOOK_CERT_VALIDITY: certificates would end before their successors may be served",
    );
  }
  return {
    from: "cluster",
    kubeconfig: options.string("kubeconfig"),
    options: {
      namespace,
      secretName: options.string("webhook-cert-secret"),
      configurationName: options.string("webhook-configuration"),
      dnsNames: [`${service}.svc`, `${service}.svc.cluster.local`, ...options.list("webhook-dns-names")],
      validityMs,
      overlapMs,
      checkIntervalMs: options.durationMs("webhook-cert-check-interval") ?? 0,
    },
  };
}
