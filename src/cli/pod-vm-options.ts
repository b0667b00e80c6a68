import { SIZING_POLICIES } from "../../providers/selection/index.ts";
import { oneOf, port } from "./option-checks.ts";
import type { OptionGroup } from "./shared-options.ts";

/** What pod VMs are like. */
export const POD_VM: OptionGroup = {
  title: "Pod VM",
  options: [
    {
      flag: "pause-image",
      env: "PAUSE_IMAGE",
      kind: "string",
      help: "accepted and without effect, as in the Go adaptor: the VM image brings its own pause container",
    },
    {
      flag: "forwarder-port",
      env: "FORWARDER_PORT",
      kind: "string",
      default: "15150",
      help: "TCP port of the agent-protocol-forwarder in the pod VM",
      validate: port,
    },
    {
      flag: "initdata",
      env: "INITDATA",
      kind: "string",
      live: true,
      help: "initdata of pods that bring none, as base64(gzip(TOML)) or TOML; a pod's annotation wins over it",
    },
    {
      flag: "pod-vm-sizing",
      env: "POD_VM_SIZING",
      kind: "string",
      default: "upstream",
      live: true,
      help: "upstream: the VM has what the webhook computed; aks: 1 vCPU and 2 GB on top of the containers' limits, as AKS Pod Sandboxing",
      validate: oneOf(SIZING_POLICIES),
    },
    {
      flag: "pod-vm-pool",
      env: "POD_VM_POOL",
      kind: "list",
      live: true,
      help: "VMs that are started ahead of their pods: N for pods without a size, or KIND=N with KIND a machine type or <vCPUs>x<MiB> as the pod's annotations have them, @IMAGE behind it if not the default; needs an image that waits for its user data",
    },
    {
      flag: "pod-vm-pool-image-waits",
      env: "POD_VM_POOL_IMAGE_WAITS",
      kind: "bool",
      default: "false",
      help: "the pod VM image goes on asking for user data until it names a pod; the stock image does not",
    },
    {
      flag: "enable-scratch-space",
      env: "ENABLE_SCRATCH_SPACE",
      kind: "bool",
      default: "false",
      live: true,
      help: "encrypted scratch space in pod VMs",
    },
    {
      flag: "cloud-config-verify",
      env: "CLOUD_CONFIG_VERIFY",
      kind: "bool",
      default: "false",
      help: "ask the cloud at start whether image, network and credentials are usable, and do not start if they are not",
    },
  ],
};
