import { describe, expect, test } from "vitest";
import { findHelm, Helm, type Values } from "./helm.ts";

const found = await findHelm();
const suffix = "missing" in found ? ` (${found.missing})` : "";

/** Each with what the complaint must name. */
const BAD: readonly (readonly [string, Values, string])[] = [
  ["no provider", {}, "provider is missing"],
  ["a provider that does not exist", { provider: "azur" }, "/provider"],
  ["a provider whose VMs would end with the container", { provider: "kvm" }, "KVM_SSH_HOST"],
  [
    "a KVM host without a key for it",
    { provider: "kvm", config: { KVM_IMAGE: "i", KVM_SSH_HOST: "h" } },
    "existingSshKeySecretName",
  ],
  ["a key that does not exist", { provider: "azure", confg: {} }, "confg"],
  ["a nested key that does not exist", { provider: "azure", webhook: { replica: 1 } }, "replica"],
  [
    "a limit that is no number",
    { provider: "azure", config: { PEERPODS_LIMIT_PER_NODE: "many" } },
    "PEERPODS_LIMIT_PER_NODE",
  ],
  ["a duration without a unit", { provider: "azure", config: { PROXY_TIMEOUT: "5" } }, "PROXY_TIMEOUT"],
  ["a duration as a number", { provider: "azure", config: { PROXY_TIMEOUT: 5 } }, "PROXY_TIMEOUT"],
  ["a switch that is neither on nor off", { provider: "azure", config: { DISABLECVM: "yes" } }, "DISABLECVM"],
  [
    "a list as YAML",
    { provider: "azure", config: { AZURE_INSTANCE_SIZES: ["a", "b"] } },
    "AZURE_INSTANCE_SIZES",
  ],
  ["a name that is no variable's", { provider: "azure", config: { "A-B": "1" } }, "A-B"],
  [
    "a key of the adaptor for the shim-proxy",
    { provider: "azure", shimProxy: { config: { AZURE_REGION: "x" } } },
    "AZURE_REGION",
  ],
  [
    "a memory limit of the shim-proxy",
    { provider: "azure", shimProxy: { resources: { limits: { memory: "1Gi" } } } },
    "memory",
  ],
  ["a digest without its algorithm", { provider: "azure", image: { digest: "abc" } }, "digest"],
  ["a way of making Secrets that does not exist", { provider: "azure", secrets: { mode: "eso" } }, "mode"],
  [
    "Secrets of both kinds",
    { provider: "azure", secrets: { mode: "reference", values: { AZURE_CLIENT_SECRET: "x" } } },
    "secrets.mode is reference",
  ],
  [
    "a Secret of others in mode create",
    { provider: "azure", secrets: { existingSecretName: "mine" } },
    "existingSecretName",
  ],
  [
    "a certificate without its key",
    { provider: "azure", secrets: { tlsCerts: { caCert: "x", clientCert: "y" } } },
    "clientKey",
  ],
  [
    "a runtime socket in the environment",
    { provider: "azure", config: { CRI_RUNTIME_ENDPOINT: "/run/x.sock" } },
    "containerRuntime.socket",
  ],
  [
    "an update that could replace nothing",
    { provider: "azure", daemonset: { updateStrategy: { maxSurge: 0 } } },
    "maxSurge",
  ],
  [
    "kata-deploy, which another chart brings",
    { provider: "azure", "kata-deploy": { enabled: true } },
    "chart-with-kata",
  ],
  [
    "no namespaces for pull Secrets",
    { provider: "azure", pullSecrets: { access: "namespaces" } },
    "pullSecrets.namespaces",
  ],
];

const GOOD: readonly (readonly [string, Values])[] = [
  ["a provider alone", { provider: "azure" }],
  [
    "numbers and switches with and without quotes",
    {
      provider: "azure",
      config: { PEERPODS_LIMIT_PER_NODE: 5, VXLAN_PORT: "4789", DISABLECVM: true, USE_PUBLIC_IP: "True" },
    },
  ],
  ["what Go took for a number", { provider: "azure", config: { ROOT_VOLUME_SIZE: "30GB" } }],
  [
    "durations of several units",
    { provider: "azure", config: { PROXY_TIMEOUT: "1h30m", PEERPODS_LIMIT_WAIT: "1.5s" } },
  ],
  [
    "empty values, which count as unset",
    { provider: "azure", config: { PROXY_TIMEOUT: "", VXLAN_PORT: "", DISABLECVM: "" } },
  ],
  ["keys that this version does not know", { provider: "azure", config: { SOMETHING_NEW: "1" } }],
  [
    "a values file of the Go adaptor's chart",
    {
      provider: "azure",
      limit: "10",
      image: { name: "registry.example/adaptor", tag: "v1" },
      providerConfigs: { azure: { AZURE_REGION: "eastus" } },
      providerSecrets: {
        azure: { AZURE_CLIENT_ID: "id", AZURE_CLIENT_SECRET: "secret", AZURE_TENANT_ID: "t" },
      },
      secrets: {
        mode: "create",
        existingSecretName: "",
        existingSshKeySecretName: "",
        existingTlsSecretName: "",
      },
      daemonset: {
        updateStrategy: { maxUnavailable: 0, maxSurge: 1 },
        podLabels: { a: "b" },
        serviceAccount: { annotations: { c: "d" } },
      },
      resourceCtrl: { enabled: true },
      webhook: { enabled: true },
      "kata-deploy": { enabled: false, shims: { remote: { enabled: true } } },
    },
  ],
];

describe.skipIf("missing" in found)(`values${suffix}`, () => {
  const helm = new Helm("path" in found ? found.path : "");

  test.each(BAD)("%s: refused, and the complaint names it", async (_, values, text) => {
    const { ok, stderr } = await helm.template(values);
    expect(ok).toBe(false);
    expect(stderr).toContain(text);
  });

  test.each(GOOD)("%s: accepted", async (_, values) => {
    const { ok, stderr } = await helm.template(values);
    expect(stderr).toBe("");
    expect(ok).toBe(true);
  });
});
