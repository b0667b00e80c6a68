import { describeError, invalidConfig } from "../errors/index.ts";
import type { SandboxConfig } from "../sandbox/index.ts";
import { DEFAULT_TLS_PROFILE, loadCustomIdentity } from "../tls/index.ts";
import { parseInitdata } from "../user-data/index.ts";
import type { AdaptorConfig } from "./config.ts";

/** What the lifecycle is told. Throws `invalid-config` for an INITDATA that is none. */
export function sandboxConfigOf(config: AdaptorConfig, vmRevision: string): SandboxConfig {
  const { limits, node, podVm, tls } = config;
  return {
    podsDir: config.paths.podsDir,
    limit: limits.maxVms ?? -1,
    limitWaitMs: limits.limitWaitMs,
    reservationMs: limits.createReservationTimeoutMs,
    vxlanMinId: config.network.vxlanMinId,
    forwarderPort: podVm.forwarderPort,
    proxyTimeoutMs: limits.proxyTimeoutMs,
    tls: tlsModeOf(tls),
    tlsProfile: tls.mode === "on" ? tls.profile : DEFAULT_TLS_PROFILE,
    tlsSkipVerify: tls.mode === "on" && tls.skipVerify,
    globalInitdata: globalInitdata(podVm.initdata),
    scratchSpace: podVm.enableScratchSpace,
    externalNetworkViaPodVm: config.network.externalNetworkViaPodVm,
    owner: { clusterId: node.clusterId, nodeName: node.name },
    deleteAttemptMs: limits.vmDeleteAttemptMs,
    deleteRetryMaxMs: limits.vmDeleteRetryMaxMs,
    orphanGraceMs: limits.orphanGraceMs,
    vmCheckIntervalMs: limits.vmCheckIntervalMs,
    pool: podVm.pool,
    vmRevision,
  };
}

function tlsModeOf(tls: AdaptorConfig["tls"]): SandboxConfig["tls"] {
  if (tls.mode === "off") return { mode: "off" };
  const { customFiles } = tls;
  return customFiles === undefined
    ? { mode: "per-vm" }
    : { mode: "files", load: () => loadCustomIdentity(customFiles) };
}

function globalInitdata(text: string): SandboxConfig["globalInitdata"] {
  if (text === "") return undefined;
  try {
    return parseInitdata(text);
  } catch (cause) {
    throw invalidConfig(`INITDATA: ${describeError(cause)}`, { cause });
  }
}
