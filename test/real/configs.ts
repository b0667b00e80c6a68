/** Configuration of the stock programs, as an operator of peer pods has it, with folders of the private node. */

/** The runtime handler that pods ask for, as in the operator's RuntimeClass. */
export const RUNTIME_HANDLER = "kata-remote";
/** What containerd turns into the executable containerd-shim-kata-remote-v2. */
const RUNTIME_TYPE = "io.containerd.kata-remote.v2";

interface ContainerdPlaces {
  readonly root: string;
  readonly socket: string;
  readonly cniDir: string;
  readonly cniConfigDir: string;
  readonly kataConfig: string;
  readonly pauseImage: string;
  /** Socket of nydus-snapshotter, where the shim needs it. */
  readonly nydusSocket: string | undefined;
}

/** containerd's config.toml, version 2. */
export const containerdConfig = (places: ContainerdPlaces): string => `version = 2
root = "${places.root}"
[grpc]
  address = "${places.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${places.pauseImage}"
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "${places.cniDir}"
  conf_dir = "${places.cniConfigDir}"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "${places.nydusSocket === undefined ? "native" : "nydus"}"
  disable_snapshot_annotations = false
  default_runtime_name = "${RUNTIME_HANDLER}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.${RUNTIME_HANDLER}]
  runtime_type = "${RUNTIME_TYPE}"
  pod_annotations = ["io.katacontainers.*"]
  privileged_without_host_devices = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.${RUNTIME_HANDLER}.options]
  ConfigPath = "${places.kataConfig}"
${
  places.nydusSocket === undefined
    ? ""
    : `[proxy_plugins.nydus]
  type = "snapshot"
  address = "${places.nydusSocket}"
`
}`;

/** nydus-snapshotter as it hands images to the pod VM: its 0.16, misc/snapshotter/config-proxy.toml. */
export const nydusConfig = (root: string, socket: string): string => `version = 1
root = "${root}"
address = "${socket}"
daemon_mode = "none"
[daemon]
fs_driver = "proxy"
[snapshot]
enable_kata_volume = true
`;

/**
 * The Rust shim's configuration: kata-containers 4.1.0, src/runtime-rs/config/configuration-remote.toml.in, as the operator installs it.
 */
export const rustKataConfig = (hypervisorSocket: string): string => `[hypervisor.remote]
remote_hypervisor_socket = "${hypervisorSocket}"
remote_hypervisor_timeout = 600
enable_annotations = ["machine_type", "default_memory", "default_vcpus", "default_gpus", "default_gpu_model", "cc_init_data"]
kernel_params = ""
default_vcpus = 1
default_maxvcpus = 0
default_bridges = 1
default_memory = 2048
memory_slots = 10
disable_selinux = false
disable_guest_selinux = true
[agent.kata]
dial_timeout_ms = 100
reconnect_timeout_ms = 30000
create_container_timeout = 60
[runtime]
internetworking_model = "none"
name = "virt_container"
hypervisor_name = "remote"
agent_name = "kata"
disable_guest_seccomp = true
disable_new_netns = false
sandbox_cgroup_only = true
static_sandbox_resource_mgmt = true
vfio_mode = "guest-kernel"
emptydir_mode = "shared-fs"
experimental = []
dan_conf = "/run/kata-containers/dans"
`;

/**
 * The Go shim's configuration: kata-containers 4.1.0, src/runtime/config/configuration-remote.toml.in, as the operator installs it, plus
 * the forced guest pull, which spares a snapshotter on the node.
 */
export const goKataConfig = (hypervisorSocket: string): string => `[hypervisor.remote]
remote_hypervisor_socket = "${hypervisorSocket}"
remote_hypervisor_timeout = 600
enable_annotations = ["machine_type", "default_memory", "default_vcpus", "image", "default_gpus", "gpu_model", "cc_init_data"]
default_bridges = 1
memory_slots = 10
disable_selinux = false
disable_guest_selinux = true
[agent.kata]
dial_timeout = 30
[runtime]
internetworking_model = "none"
disable_guest_seccomp = true
disable_new_netns = true
sandbox_cgroup_only = false
static_sandbox_resource_mgmt = true
vfio_mode = "guest-kernel"
disable_guest_empty_dir = false
emptydir_mode = "shared-fs"
experimental = []
experimental_force_guest_pull = true
create_container_timeout = 60
dan_conf = "/run/kata-containers/dans"
kubelet_root_dir = "/var/lib/kubelet"
`;

/** A bridge for the node's pods. */
export const cniConfig = (stateDir: string): string =>
  JSON.stringify({
    cniVersion: "0.4.0",
    name: "pods",
    plugins: [
      {
        type: "bridge",
        bridge: "cni0",
        isGateway: true,
        ipam: {
          type: "host-local",
          dataDir: stateDir,
          ranges: [[{ subnet: "10.88.0.0/16" }]],
          routes: [{ dst: "0.0.0.0/0" }],
        },
      },
    ],
  });
