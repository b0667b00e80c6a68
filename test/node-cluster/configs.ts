import { RUNTIME_HANDLER } from "../real/configs.ts";

/** Configuration of the node's stock programs. */

export const NODE_NAME = "worker-1";
/** The node's address, from node-boot.sh. */
export const NODE_ADDRESS = "192.0.2.2";
export const POD_NETWORK = "10.88.0.0/16";
/** The image of sandboxes and of the containers that tests run, as containerd and the pod VMs know them. */
export const PAUSE_IMAGE = "localhost/pause:1";
export const BUSYBOX_IMAGE = "localhost/busybox:1";

interface ContainerdPlaces {
  readonly root: string;
  readonly state: string;
  readonly socket: string;
  readonly cniDir: string;
  readonly cniConfigDir: string;
  /** The Go shim's configuration; without a shim runc serves the handler, so that pods can at least be scheduled and started. */
  readonly kataConfig: string | undefined;
}

/** containerd's config.toml, version 2. */
export const containerdConfig = (places: ContainerdPlaces): string => `version = 2
root = "${places.root}"
state = "${places.state}"
[grpc]
  address = "${places.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "${places.cniDir}"
  conf_dir = "${places.cniConfigDir}"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  disable_snapshot_annotations = false
  default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.${RUNTIME_HANDLER}]
${
  places.kataConfig === undefined
    ? `  runtime_type = "io.containerd.runc.v2"
`
    : `  runtime_type = "io.containerd.kata-remote.v2"
  pod_annotations = ["io.katacontainers.*"]
  privileged_without_host_devices = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.${RUNTIME_HANDLER}.options]
  ConfigPath = "${places.kataConfig}"
`
}`;

/** Kernel settings that the kubelet makes where they are otherwise: kubernetes 1.34, pkg/kubelet/cm, setupKernelTunables. */
export const KUBELET_SYSCTLS: Readonly<Record<string, number>> = {
  "vm/overcommit_memory": 1,
  "vm/panic_on_oom": 0,
  "kernel/panic": 10,
  "kernel/panic_on_oops": 1,
  "kernel/keys/root_maxkeys": 1_000_000,
  "kernel/keys/root_maxbytes": 25_000_000,
};

interface KubeletPlaces {
  readonly containerdSocket: string;
  /** Who may ask the kubelet with a certificate: the API server. */
  readonly clientCaFile: string;
  readonly resolvConf: string;
  readonly volumePluginDir: string;
}

/** The kubelet's configuration, for a machine without systemd whose cgroups it may not arrange. JSON is YAML too. */
export const kubeletConfig = (places: KubeletPlaces): string =>
  JSON.stringify({
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    address: NODE_ADDRESS,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: places.clientCaFile },
    },
    authorization: { mode: "Webhook" },
    containerRuntimeEndpoint: `unix://${places.containerdSocket}`,
    cgroupDriver: "cgroupfs",
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    failSwapOn: false,
    failCgroupV1: false,
    evictionHard: { "memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%" },
    imageGCHighThresholdPercent: 100,
    resolvConf: places.resolvConf,
    volumePluginDir: places.volumePluginDir,
    // Changes show sooner.
    nodeStatusUpdateFrequency: "2s",
    syncFrequency: "10s",
  });
