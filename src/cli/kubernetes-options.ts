import { absolutePath, oneOf, port } from "./option-checks.ts";
import { KUBECONFIG, LOG_LEVEL, type OptionGroup } from "./shared-options.ts";

/** The cluster that the adaptor serves, and what is asked of its process. */
export const KUBERNETES: OptionGroup = {
  title: "Kubernetes and this process",
  options: [
    {
      flag: "node-name",
      env: "NODE_NAME",
      kind: "string",
      help: "name of this node; unset means not in Kubernetes",
    },
    {
      flag: "pod-uid",
      env: "POD_UID",
      kind: "string",
      help: "UID of the adaptor's own pod: who advertises the node's capacity (annotation kata.peerpods.io/caa-owner)",
    },
    {
      flag: "pod-name",
      env: "POD_NAME",
      kind: "string",
      help: "name of the adaptor's own pod; with it the capacity stays when only the container is restarted",
    },
    KUBECONFIG,
    {
      flag: "node-resource",
      env: "PEERPODS_NODE_RESOURCE",
      kind: "string",
      default: "status",
      help: "how the scheduler learns how many pod VMs the node takes, as kata.peerpods.io/vm: status: in the Node's status; device-plugin: through the kubelet, which needs no right on nodes; off",
      validate: oneOf(["status", "device-plugin", "off"]),
    },
    {
      flag: "device-plugin-dir",
      env: "PEERPODS_DEVICE_PLUGIN_DIR",
      kind: "string",
      default: "/var/lib/kubelet/device-plugins",
      help: "folder of the kubelet's socket for device plugins",
      validate: absolutePath,
    },
    {
      flag: "pod-namespace",
      env: "POD_NAMESPACE",
      kind: "string",
      default: "confidential-containers-system",
      help: "namespace of the adaptor, where the service account's file does not tell it",
    },
    {
      flag: "runtimeclass-name",
      env: "RUNTIMECLASS_NAME",
      kind: "string",
      default: "kata-remote",
      help: "runtime class of peer pods",
    },
    {
      flag: "peerpods-cluster-id",
      env: "CLUSTER_ID",
      kind: "string",
      help: "identity of the cluster in the tags of its VMs, unset: in Kubernetes the UID of namespace kube-system; without either VMs are never found by tag, and the reaper is off",
    },
    {
      flag: "probe-port",
      env: "PROBE_PORT",
      kind: "string",
      default: "8000",
      help: "accepted for the Go adaptor's sake and without effect: probes ask the admin socket (cloud-api-adaptor probe startup)",
      validate: port,
    },
    {
      flag: "notify-socket",
      env: "NOTIFY_SOCKET",
      kind: "string",
      help: "socket that systemd is told READY=1 and STOPPING=1 on, by its program systemd-notify (NotifyAccess=all in the unit)",
    },
    LOG_LEVEL,
  ],
};
