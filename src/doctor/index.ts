export { cloudChecks } from "./cloud.ts";
export { type ClusterQuestions, clusterChecks } from "./cluster.ts";
export { examine } from "./doctor.ts";
export { type Check, type Finding, failure, info, type Level, ok, warning } from "./finding.ts";
export { kernelChecks } from "./kernel.ts";
export { type NodePlaces, nodeChecks } from "./node.ts";
export { portChecks } from "./ports.ts";
export { type ShimPlaces, shimChecks } from "./shim.ts";
