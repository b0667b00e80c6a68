export { type ClusterMemory, measureClusterMemory } from "./cluster-memory.ts";
export { type ManyPods, measureSteps } from "./measure.ts";
export { measureRecovery, type Recovery } from "./recovery.ts";
export {
  burstCharts,
  burstRows,
  clusterMemoryRows,
  manyPodsCharts,
  manyPodsRows,
  recoveryRows,
} from "./rows.ts";
