import { expect, test } from "vitest";
import type { OptionSpec } from "../../providers/contract.ts";
import type { AdaptorConfig } from "../adaptor/index.ts";
import { DEFAULT_LIMITS } from "../shim-proxy/limits.ts";
import { ADAPTOR_OPTIONS } from "./common-options.ts";
import { flatten, readAdaptorConfig, readShimProxyConfig } from "./config.ts";
import { parseFlags } from "./go-flags.ts";
import { readOptions } from "./options.ts";
import { SHIM_PROXY_OPTIONS } from "./shim-proxy-options.ts";

const MODULE = {
  name: "mock",
  options: [{ flag: "cloud-socket", env: "CLOUD_SOCKET", kind: "string", help: "" }] satisfies OptionSpec[],
};

function config(env: Record<string, string>, ...args: string[]): AdaptorConfig {
  const specs = [...MODULE.options, ...flatten(ADAPTOR_OPTIONS)];
  const flags = parseFlags("mock", specs, args).values;
  return readAdaptorConfig(MODULE, { env, flags, hostname: "box" });
}

test("without any setting the Go adaptor's defaults hold", () => {
  const { providerOptions, ...rest } = config({});
  expect(providerOptions.string("cloud-socket")).toBe("");
  expect(rest).toEqual({
    provider: "mock",
    logLevel: "info",
    node: {
      inKubernetes: false,
      name: "box",
      podUid: "",
      podName: "",
      podNamespace: "confidential-containers-system",
      runtimeClassName: "kata-remote",
      clusterId: "",
      probePort: 8000,
      notifySocket: "",
    },
    cluster: undefined,
    paths: {
      hypervisorSocket: "/run/peerpod/hypervisor.sock",
      podsDir: "/run/peerpod/pods",
      runDir: "/run/peerpod",
      proxySocket: "/run/peerpod/proxy.sock",
      adminSocket: "/run/peerpod/admin.sock",
      stateDir: "/var/lib/peerpods",
      bootIdFile: "/proc/sys/kernel/random/boot_id",
    },
    shimProxy: "auto",
    podVm: {
      pauseImage: "",
      forwarderPort: 15150,
      initdata: "",
      enableScratchSpace: false,
      sizing: "upstream",
      pool: [],
      poolImageWaits: false,
    },
    tls: {
      mode: "on",
      profile: { minVersion: "", cipherSuites: [] },
      skipVerify: false,
      customFiles: undefined,
    },
    network: {
      tunnelType: "vxlan",
      vxlanPort: 4789,
      vxlanMinId: 555_000,
      hostInterface: "",
      externalNetworkViaPodVm: false,
      podSubnetCidrs: [],
    },
    limits: {
      maxVms: 10,
      limitWaitMs: 30_000,
      createReservationTimeoutMs: 600_000,
      proxyTimeoutMs: 300_000,
      vmDeleteAttemptMs: 600_000,
      vmDeleteRetryMaxMs: 300_000,
      orphanGraceMs: 60_000,
      vmCheckIntervalMs: 30_000,
      shimProxyWaitMs: 30_000,
    },
    cleaning: {
      criEndpoint: "",
      reaper: "on",
      reaperBudget: 5,
      reaperIntervalMs: 300_000,
      reaperStartDeadlineMs: 1_200_000,
    },
    verifyCloudConfig: false,
    warnings: [],
  });
});

test("every variable of peer-pods-cm reaches its place", () => {
  const read = config({
    CLOUD_SOCKET: "/c",
    REMOTE_HYPERVISOR_ENDPOINT: "/s/h.sock",
    PODS_DIR: "/s/pods",
    PAUSE_IMAGE: "pause:1",
    FORWARDER_PORT: "1515",
    PROXY_TIMEOUT: "1h30m",
    TUNNEL_TYPE: "vxlan",
    VXLAN_PORT: "8472",
    EXTERNAL_NETWORK_VIA_PODVM: "1",
    POD_SUBNET_CIDRS: "10.0.0.0/8, fd00::/64",
    INITDATA: "H4sI\n",
    CLOUD_CONFIG_VERIFY: "TRUE",
    PEERPODS_LIMIT_PER_NODE: "-1",
    ENABLE_SCRATCH_SPACE: "true",
    POD_VM_POOL: "1, Standard_DC4as_v5=2",
    POD_VM_POOL_IMAGE_WAITS: "true",
    CACERT_FILE: "/ca",
    CERT_FILE: "/crt",
    CERT_KEY: "/key",
    TLS_SKIP_VERIFY: "1",
    TLS_MIN_VERSION: "VersionTLS12",
    TLS_CIPHER_SUITES: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    NODE_NAME: "n1",
    POD_UID: "u",
    POD_NAME: "p",
    PEERPODS_KUBECONFIG: "/k",
    PEERPODS_NODE_RESOURCE: "off",
    POD_NAMESPACE: "ns",
    RUNTIMECLASS_NAME: "rc",
    CLUSTER_ID: "c1",
    PROBE_PORT: "8001",
    NOTIFY_SOCKET: "@n",
  });
  expect(read.providerOptions.string("cloud-socket")).toBe("/c");
  expect(read.paths).toMatchObject({
    hypervisorSocket: "/s/h.sock",
    podsDir: "/s/pods",
    proxySocket: "/s/proxy.sock",
  });
  expect(read.podVm).toEqual({
    pauseImage: "pause:1",
    forwarderPort: 1515,
    initdata: "H4sI",
    enableScratchSpace: true,
    sizing: "upstream",
    pool: [
      { kind: "default", count: 1 },
      { kind: "Standard_DC4as_v5", count: 2 },
    ],
    poolImageWaits: true,
  });
  expect(read.network).toMatchObject({ vxlanPort: 8472, externalNetworkViaPodVm: true });
  expect(read.network.podSubnetCidrs).toEqual(["10.0.0.0/8", "fd00::/64"]);
  expect(read.limits).toMatchObject({ maxVms: -1, proxyTimeoutMs: 5_400_000 });
  expect(read.verifyCloudConfig).toBe(true);
  expect(read.tls).toEqual({
    mode: "on",
    profile: { minVersion: "VersionTLS12", cipherSuites: ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"] },
    skipVerify: true,
    customFiles: { caFile: "/ca", certFile: "/crt", keyFile: "/key" },
  });
  expect(read.node).toEqual({
    inKubernetes: true,
    name: "n1",
    podUid: "u",
    podName: "p",
    podNamespace: "ns",
    runtimeClassName: "rc",
    clusterId: "c1",
    probePort: 8001,
    notifySocket: "@n",
  });
  expect(read.cluster).toEqual({
    kubeconfigFile: "/k",
    serviceEnv: { KUBERNETES_SERVICE_HOST: "", KUBERNETES_SERVICE_PORT: "" },
    nodeResource: "off",
    devicePluginDir: "/var/lib/kubelet/device-plugins",
  });
});

test("in a pod the kubelet's variables lead to the API server; a node without a way there says what it lacks", () => {
  const env = { NODE_NAME: "n", KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBERNETES_SERVICE_PORT: "443" };
  expect(config(env).cluster).toMatchObject({ kubeconfigFile: "", nodeResource: "status" });
  const { cluster, warnings } = config({ NODE_NAME: "n" });
  expect(cluster).toBeUndefined();
  expect(warnings).toEqual([expect.stringContaining("PEERPODS_KUBECONFIG")]);
});

test("flags without a variable are read in Go's syntax", () => {
  const read = config({}, "-vxlan-min-id", "0x10", "--host-interface=eth1", "-disable-tls");
  expect(read.network).toMatchObject({ vxlanMinId: 16, hostInterface: "eth1" });
  expect(read.tls).toEqual({ mode: "off" });
  expect(read.warnings).toEqual([expect.stringContaining("-disable-tls")]);
});

test("all problems of a start come in one error, the TLS profile's and the common ones", () => {
  const start = () =>
    config({
      PROXY_TIMEOUT: "5",
      PODS_DIR: "/run/some-very-long-folder-for-it",
      TLS_MIN_VERSION: "VersionTLS11",
      CERT_FILE: "/crt",
      ENABLE_CLOUD_PROVIDER_EXTERNAL_PLUGIN: "true",
    });
  expect(start).toThrow(/^5 settings are wrong:\n/);
  expect(start).toThrow("- PROXY_TIMEOUT=5: expected a Go duration");
  expect(start).toThrow("- PODS_DIR=/run/some-very-long-folder-for-it: it has 33 bytes and may have 30");
  expect(start).toThrow("- TLS_MIN_VERSION=VersionTLS11: TLS 1.0 and 1.1 are not supported");
  expect(start).toThrow("- CACERT_FILE and CERT_KEY not set");
  expect(start).toThrow(
    "- ENABLE_CLOUD_PROVIDER_EXTERNAL_PLUGIN=true: external provider plugins are Go shared objects",
  );
});

test.each([
  [{ PROXY_TIMEOUT: "0" }, "PROXY_TIMEOUT=0: expected a duration above 0"],
  [{ PROXY_TIMEOUT: "-5m" }, "expected a duration above 0"],
  [{ FORWARDER_PORT: "https" }, "FORWARDER_PORT=https: expected a number from 1 to 65535"],
  [{ VXLAN_PORT: "70000" }, "VXLAN_PORT=70000: expected a number from 1 to 65535"],
  [{ TUNNEL_TYPE: "routing" }, "TUNNEL_TYPE=routing: expected vxlan"],
  [{ POD_SUBNET_CIDRS: "10.0.0.0/33" }, '"10.0.0.0/33" is not a CIDR'],
  [{ PEERPODS_SHIM_PROXY: "maybe" }, "expected auto or external or embedded"],
  [{ PEERPODS_STATE_DIR: "state" }, "expected an absolute path"],
  [{ REMOTE_HYPERVISOR_ENDPOINT: `/${"x".repeat(107)}` }, "at most 107 bytes, this one has 108"],
])("%j stops the start", (env, message) => {
  expect(() => config(env)).toThrow(message);
});

test("the longest PODS_DIR has 30 bytes", () => {
  const thirty = `/${"p".repeat(29)}`;
  expect(config({ PODS_DIR: thirty }).paths.podsDir).toBe(thirty);
  expect(() => config({ PODS_DIR: `${thirty}p` })).toThrow("it has 31 bytes and may have 30");
});

test("a plugin switch that Go did not take for one is no reason to stop", () => {
  expect(config({ ENABLE_CLOUD_PROVIDER_EXTERNAL_PLUGIN: "false" }).provider).toBe("mock");
});

test("a limit of 0 is kept and warned about", () => {
  const read = config({ PEERPODS_LIMIT_PER_NODE: "0" });
  expect(read.limits.maxVms).toBe(0);
  expect(read.warnings).toEqual(["PEERPODS_LIMIT_PER_NODE=0 admits no peer pod on this node"]);
});

test("shim-proxy and adaptor find each other by the same settings", () => {
  const env = { REMOTE_HYPERVISOR_ENDPOINT: "/tmp/x/h.sock" };
  const proxy = readShimProxyConfig({ env, flags: new Map() });
  const { hypervisorSocket, proxySocket, runDir } = config(env).paths;
  expect(proxy).toMatchObject({ hypervisorSocket, proxySocket, runDir });
});

test("the shim-proxy's defaults are those of its own limits", () => {
  expect(DEFAULT_LIMITS).toMatchObject(readShimProxyConfig({ env: {}, flags: new Map() }).limits);
});

test("every default is itself acceptable, and flags and variables are declared once", () => {
  for (const groups of [ADAPTOR_OPTIONS, SHIM_PROXY_OPTIONS]) {
    const specs = flatten(groups);
    const options = readOptions(specs, { env: {}, flags: new Map() });
    expect(options.problems).toEqual([]);
    expect(options.warnings).toEqual([]);
    const variables = specs.flatMap((spec) => spec.env ?? []);
    expect(new Set(variables).size).toBe(variables.length);
  }
});
