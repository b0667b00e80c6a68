import { dirname, join, resolve } from "node:path";

/** Where shims call unless the operator says otherwise. */
export const DEFAULT_HYPERVISOR_SOCKET: string = "/run/peerpod/hypervisor.sock";

/** Settings that tell where things are; "" is unset. */
export interface SocketSettings {
  readonly adminSocket: string;
  readonly runDir: string;
  readonly hypervisorSocket: string;
}

/** Where the adaptor's admin socket is, also for those who load no options: the probe. */
export function adminSocketPath({ adminSocket, runDir, hypervisorSocket }: SocketSettings): string {
  if (adminSocket !== "") return resolve(adminSocket);
  return join(runDir || dirname(resolve(hypervisorSocket || DEFAULT_HYPERVISOR_SOCKET)), "admin.sock");
}
