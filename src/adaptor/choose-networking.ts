import { unsupported } from "../errors/index.ts";
import type { Exec, Log } from "../platform/index.ts";
import { kernelNetworking, noNetworking, type PodNetworking } from "../sandbox/index.ts";
import type { AdaptorConfig } from "./config.ts";
import type { PointHook } from "./crash-points.ts";

/** Without root there is no tunnel: only the machine room's plain processes can do without. */
export function chooseNetworking(
  config: AdaptorConfig,
  { exec, log }: { readonly exec: Exec; readonly log: Log },
  points: PointHook | undefined,
): PodNetworking {
  if (process.getuid?.() === 0) {
    const onStep = points && {
      onStep: (step: string, phase: "before" | "after") => points(`tunnel.${step}`, phase),
    };
    return kernelNetworking({ exec, log, ...onStep }, config.network);
  }
  if (config.provider !== "mock") {
    throw unsupported(
      `provider ${config.provider} needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN) to connect pods to their VMs`,
    );
  }
  log.warn("not root: pods of the machine room get no tunnel and share this machine's network");
  return noNetworking;
}
