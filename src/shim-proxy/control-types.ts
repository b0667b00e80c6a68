import type { TlsClientInput } from "../tls/index.ts";

/** API versions of the control protocol that this program speaks, newest first. */
export const API_VERSIONS: readonly number[] = [1];

export const LINK_STATES = ["dialing", "up", "down", "lost"] as const;
/** dialing: the first dial is under way. down: was up, is dialled again. lost: given up, shim connections were closed. */
export type LinkStateName = (typeof LINK_STATES)[number];

/** Why a sandbox is to be stopped though no call for it may be waiting. */
export type OwedStopReason = "caller" | "poison";

/** The state of a sandbox's link to its VM. */
export interface LinkStatus {
  readonly state: LinkStateName;
  /** For people; empty when there is nothing to say. */
  readonly reason: string;
  /** How often the link broke so far. */
  readonly breaks: number;
}

/** A hypervisor call that a shim waits for (or waited for). */
export interface ProxyCall {
  readonly sandboxId: string;
  /** CreateVM, StartVM or StopVM. */
  readonly method: string;
}

export interface HeldHypervisorCall extends ProxyCall {
  /** Owners that died while they worked on it. */
  readonly deaths: number;
}

/** A sandbox that must be stopped: journal the stop, then `ackStop`. */
export interface OwedStopNotice {
  readonly sandboxId: string;
  readonly reason: OwedStopReason;
}

/** Connections of the shim to agent.ttrpc. */
export interface ShimConnectionCount {
  readonly open: number;
  /** Whether there ever was one. */
  readonly ever: boolean;
}

/** What the proxy knows of a sandbox. */
export interface ProxySandbox {
  readonly id: string;
  /** As given to `putSandbox`. */
  readonly dir: string;
  /** Absent until the first `putLink`. */
  readonly link?: LinkStatus;
  readonly connections: ShimConnectionCount;
}

/** All that the proxy holds at the moment of an attach. */
export interface ProxySnapshot {
  /** Random, chosen at the proxy's start: another one than last time means that every shim connection is gone. */
  readonly instanceId: string;
  readonly apiVersion: number;
  readonly programVersion: string;
  readonly sandboxes: readonly ProxySandbox[];
  /** Calls that will be asked on the frame socket. */
  readonly heldCalls: readonly HeldHypervisorCall[];
  /** Calls that an earlier owner had received and whose caller has left since: undo them. */
  readonly callersLeft: readonly ProxyCall[];
  readonly owedStops: readonly OwedStopNotice[];
}

/** What happens after the snapshot. */
export type ShimProxyEvent =
  | { readonly kind: "caller-left"; readonly sandboxId: string; readonly method: string }
  | { readonly kind: "owed-stop"; readonly sandboxId: string; readonly reason: OwedStopReason }
  | {
      readonly kind: "shim-connections";
      readonly sandboxId: string;
      readonly open: number;
      readonly ever: boolean;
    }
  | {
      readonly kind: "link";
      readonly sandboxId: string;
      readonly state: LinkStateName;
      readonly reason: string;
      readonly breaks: number;
    }
  | {
      readonly kind: "loss";
      readonly sandboxId: string;
      /** exit-code, output-chunk, oom-event or call (docs/link-losses.md). */
      readonly loss: string;
      readonly detail: string;
    };

/** A disk of the VM for a direct-assigned volume, as fixed at CreateVM. */
export interface VmVolume {
  /** The kubelet's target path: the mount source in CreateContainer. */
  readonly targetPath: string;
  /** Empty: the volume is named to the VM but has no disk. */
  readonly diskId: string;
  readonly lun: number;
  readonly fsType: string;
  readonly fsGroup: string;
  readonly encryptType: string;
  readonly keyId: string;
}

/** How a pod VM is reached. */
export interface LinkTarget {
  /** The sandbox. */
  readonly id: string;
  /** IP address of the pod VM. */
  readonly address: string;
  readonly port: number;
  /** Absent: plain TCP. */
  readonly tls?: TlsClientInput;
  /** For the first dial, in all. */
  readonly timeoutMs: number;
  readonly volumes: readonly VmVolume[];
}

export interface AttachOptions {
  /** Incremented in the journal under the owner's lock. */
  readonly epoch: number;
  /** A unix socket that already listens and serves the hypervisor services over ttrpc, made afresh for this attach. */
  readonly frameSocket: string;
  readonly programVersion: string;
  readonly signal?: AbortSignal;
}

/** What the sandbox lifecycle asks of the shim-proxy. All reject with CaaError; all may be repeated. */
export interface ShimProxyControl {
  /** Places `<dir>/agent.ttrpc`; the folder exists and is named after the sandbox. `already-exists` for another folder. */
  putSandbox(sandboxId: string, dir: string, signal?: AbortSignal): Promise<void>;
  /**
   * Resolves when TLS to the VM is up. The same address joins a dial in progress or a living link (whose credentials are
   * refreshed), another one replaces it. `deadline` after `timeoutMs`, `unauthorised` at once when the VM's certificate or
   * ours is refused, `not-found` without `putSandbox`, `cancelled` on `signal`, which ends the dial unless another waits.
   */
  putLink(target: LinkTarget, signal?: AbortSignal): Promise<void>;
  /** The VM is known to be gone: ends the link and the shim's connections at once. Succeeds for an unknown id. */
  failLink(sandboxId: string, reason: string, signal?: AbortSignal): Promise<void>;
  /** Closes the connections, removes the socket, wipes the keys. Succeeds for an unknown id. */
  closeSandbox(sandboxId: string, signal?: AbortSignal): Promise<void>;
  /** The stop is journaled; the proxy need not remember it. */
  ackStop(sandboxId: string, signal?: AbortSignal): Promise<void>;
}
