export { kubeConfig } from "./config.ts";
