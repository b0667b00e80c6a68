import type { HypervisorDefinition } from "../gen/hypervisor/hypervisor.ts";
import type { PodVMInfoDefinition } from "../gen/hypervisor/podvminfo.ts";
import { parsePodRequest, type SandboxManager } from "../sandbox/index.ts";
import type { ServiceHandlers } from "../ttrpc/index.ts";

/** What the Go adaptor answers to Version; no shim asks. */
const HYPERVISOR_VERSION = "0.0.0";

/** The manager, once this control plane has recovered; calls that come earlier wait. */
export type ReadyManager = (signal: AbortSignal) => Promise<SandboxManager>;

/** hypervisor.Hypervisor, as the shims call it. No policy here: checks the message, asks the manager. */
export function hypervisorHandlers(ready: ReadyManager): ServiceHandlers<typeof HypervisorDefinition> {
  return {
    async createVM(request, context) {
      const pod = parsePodRequest(request.id, request.annotations, request.networkNamespacePath);
      const manager = await ready(context.signal);
      return { agentSocketPath: await manager.create(pod, context.signal) };
    },
    async startVM(request, context) {
      const manager = await ready(context.signal);
      await manager.start(request.id, context.signal);
      return {};
    },
    async stopVM(request, context) {
      const manager = await ready(context.signal);
      await manager.stop(request.id, context.signal);
      return {};
    },
    async version() {
      return { version: HYPERVISOR_VERSION };
    },
  };
}

/** podvminfo.PodVMInfo: which VM runs a pod. Unlike the Go adaptor's, a waiting call honours its deadline. */
export function podVmInfoHandlers(ready: ReadyManager): ServiceHandlers<typeof PodVMInfoDefinition> {
  return {
    async getInfo(request, context) {
      const manager = await ready(context.signal);
      const vmId = await manager.vmId(request.PodNamespace, request.PodName, request.Wait, context.signal);
      return { VMID: vmId };
    },
  };
}
