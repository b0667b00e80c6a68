import type { Secret } from "../../../src/platform/index.ts";

/** What the cloud asks of whoever runs its VMs. */
export interface MachineSpec {
  /** Unique among all VMs of the machine room, past ones included: `i-` and hexadecimal digits. */
  readonly id: string;
  /** The VM's host name. */
  readonly name: string;
  /** The image: an executable and its arguments. */
  readonly argv: readonly [string, ...string[]];
  readonly userData: Secret;
  /** Network interfaces, at least 1. */
  readonly interfaces: number;
  readonly onConsole: (chunk: Buffer) => void;
}

/** What can be done to a VM's link. */
export type LinkFault =
  /** Every TCP connection of the VM's own addresses is reset, both ends told. */
  | { readonly kind: "reset" }
  /** Nothing passes any more, nobody is told. */
  | { readonly kind: "down" }
  /** Passes again. */
  | { readonly kind: "up" }
  /** This share of packets is lost, each way, in percent; 0 ends it. */
  | { readonly kind: "loss"; readonly percent: number };

/** A VM, from before its boot until after its end. */
export interface Machine {
  /** Boots it, once; resolves when its image was started. When it fails or is aborted, `destroy` takes away what was made so far. */
  boot(signal: AbortSignal): Promise<void>;
  /** Empty before the boot. */
  readonly addresses: readonly string[];
  /** Resolves with a text for people when the image has ended, however it ended. Never rejects. */
  readonly exited: Promise<string>;
  /** Power is cut: every process ends at once, the rest stays until `destroy`. */
  kill(): Promise<void>;
  /** Stops (or continues) every process of the VM. */
  freeze(frozen: boolean): Promise<void>;
  /** Replaces the file that the guest reads. */
  setUserData(userData: Secret): Promise<void>;
  /** Throws `unsupported` where links cannot be broken in that way. */
  breakLink(fault: LinkFault): Promise<void>;
  /** Takes away everything that was made for the VM and resolves when it is gone. May be repeated. */
  destroy(): Promise<void>;
}

/** Runs VMs. */
export interface Machines {
  readonly rootless: boolean;
  /** Removes what an earlier machine room of this name left, then makes what all VMs share. */
  open(): Promise<void>;
  /** A VM that is not booted yet: nothing is made. */
  prepare(spec: MachineSpec): Machine;
  /** Everything that exists for VMs now, one text each: empty when no VM left anything. */
  inventory(): Promise<readonly string[]>;
  /** Takes away what `open` made; VMs must have been destroyed. */
  close(): Promise<void>;
}
