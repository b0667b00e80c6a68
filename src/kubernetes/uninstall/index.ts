export { removePeerPods, runningPeerPods, stopAdaptors, type UninstallDeps } from "./uninstall.ts";
