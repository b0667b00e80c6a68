export { type ClusterMemory, measureClusterMemory } from "./cluster-memory.ts";
export { type ManyPods, measureManyPods } from "./measure.ts";
export { measureRecovery, type Recovery } from "./recovery.ts";
export { clusterMemoryRows, manyPodsCharts, manyPodsRows, recoveryRows } from "./rows.ts";
