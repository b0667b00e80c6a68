export {
  type HostHint,
  type InspectInput,
  inspectPodNetwork,
  type PodNetworkConfig,
  type PodNetworkFacts,
} from "./inspect.ts";
export { type PlanInput, planTunnel, type TunnelPlan, type TunnelRule } from "./plan.ts";
export { type PodNetworkSpec, podNetworkSpec } from "./spec.ts";
export {
  setUpTunnel,
  TUNNEL_STEPS,
  type TunnelDeps,
  type TunnelStep,
  tearDownTunnel,
  tunnelResidue,
} from "./tunnel.ts";
