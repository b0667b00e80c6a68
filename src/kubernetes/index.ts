export { type ContainerRuntime, containerRuntime } from "./container-runtime.ts";
