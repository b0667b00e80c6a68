import { credentials, Metadata } from "@grpc/grpc-js";
import { describeError, unavailable } from "../../errors/index.ts";
import { type Device, RegistrationClient } from "../../gen/kubernetes/deviceplugin.ts";
import { type Clock, fileIdentity, type Log, removeFiles } from "../../platform/index.ts";
import { ReconcileLoop } from "../client/index.ts";
import { VM_RESOURCE } from "./capacity-plan.ts";
import { DeviceServer } from "./device-server.ts";

export interface DevicePluginDeps {
  readonly clock: Clock;
  readonly log: Log;
}

export interface DevicePluginOptions {
  /** Of kubelet.sock: /var/lib/kubelet/device-plugins. */
  readonly dir: string;
  /** Tells this instance's socket from another's. */
  readonly instance: string;
  /** How many pod VMs the node takes; negative: nothing is registered. */
  readonly limit: () => number;
  /** How many of them can run now, those that do included; undefined: the cloud does not say. */
  readonly room: (signal: AbortSignal) => Promise<number | undefined>;
}

const API_VERSION = "v1beta1";
const SOCKET_PREFIX = "peerpods-vm-";
const ANY_SOCKET = /^peerpods-vm-.*\.sock$/;
const REGISTER_TIMEOUT_MS = 10_000;
/** How often the kubelet's socket is looked at: a kubelet that starts makes it anew, and forgets its plugins. */
const LOOK_MS = 2000;
/** How often the cloud is asked for its quota. */
const ROOM_MS = 60_000;
/** How long a successor may take to register, before an adaptor that ends takes its devices away. */
const SUCCESSOR_LOOKS = 10;
const SUCCESSOR_PAUSE_MS = 500;

/**
 * The extended resource `kata.peerpods.io/vm` through the kubelet: one device for each pod VM that the node takes, unhealthy where the
 * cloud's quota has no room. Needs no right in the cluster, only the kubelet's folder of device plugins. The kubelet keeps capacity
 * and counts devices itself; which device a pod gets means nothing.
 */
export class DevicePlugin {
  readonly #deps: DevicePluginDeps;
  readonly #options: DevicePluginOptions;
  readonly #socketName: string;
  readonly #loop: ReconcileLoop;
  #server: DeviceServer | undefined;
  /** Of our socket and the kubelet's, when we last registered. */
  #registered: { readonly own: string | undefined; readonly kubelet: string } | undefined;
  #room: number | undefined;
  #roomAtMs = Number.NEGATIVE_INFINITY;
  #roomTrouble = "";
  #isKubeletAway = false;

  constructor(deps: DevicePluginDeps, options: DevicePluginOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#socketName = `${SOCKET_PREFIX}${options.instance}.sock`;
    this.#loop = new ReconcileLoop(deps, `device plugin for ${VM_RESOURCE}`, (signal) =>
      this.#reconcile(signal),
    );
  }

  get trouble(): string | undefined {
    return this.#loop.trouble;
  }

  /** The limit has changed. */
  refresh(): void {
    this.#loop.poke();
  }

  /** Until the signal aborts; never rejects. The devices stay: `withdraw` takes them away. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#loop.run(signal);
  }

  async #reconcile(signal: AbortSignal): Promise<number> {
    const { dir, limit } = this.#options;
    if (limit() < 0) {
      this.#close();
      return LOOK_MS;
    }
    await this.#askRoom(signal);
    const devices = devicesOf(limit(), this.#room);
    const kubelet = await fileIdentity(`${dir}/kubelet.sock`);
    this.#noteKubelet(kubelet !== undefined);
    if (kubelet === undefined) return LOOK_MS;
    const own = await fileIdentity(`${dir}/${this.#socketName}`);
    if (this.#server === undefined || own === undefined || own !== this.#registered?.own) {
      this.#close();
      this.#server = await DeviceServer.listen(`${dir}/${this.#socketName}`, devices);
    } else if (kubelet === this.#registered?.kubelet) {
      this.#server.devices = devices;
      return LOOK_MS;
    }
    await this.#register(signal);
    this.#registered = { own: await fileIdentity(`${dir}/${this.#socketName}`), kubelet };
    this.#deps.log.info("device plugin is registered with the kubelet", {
      resource: VM_RESOURCE,
      devices: devices.length,
    });
    // Of instances that were killed; one that still runs keeps its connection to the kubelet until that has ours.
    await removeFiles(dir, ANY_SOCKET, this.#socketName);
    return LOOK_MS;
  }

  /** Not an error: a kubelet that restarts is away for a moment, and must be found at once when it is back. */
  #noteKubelet(isThere: boolean): void {
    if (!isThere && !this.#isKubeletAway) {
      this.#deps.log.warn(
        `no kubelet has its socket in ${this.#options.dir}; the device plugin waits for it. Is that folder of the host mounted?`,
      );
    }
    this.#isKubeletAway = !isThere;
  }

  async #register(signal: AbortSignal): Promise<void> {
    const { dir } = this.#options;
    const client = new RegistrationClient(`unix:${dir}/kubelet.sock`, credentials.createInsecure(), {
      "grpc.default_authority": "localhost",
    });
    const request = {
      version: API_VERSION,
      endpoint: this.#socketName,
      resourceName: VM_RESOURCE,
      options: { preStartRequired: false, getPreferredAllocationAvailable: false },
    };
    const deadline = this.#deps.clock.wallMs() + REGISTER_TIMEOUT_MS;
    let onAbort: (() => void) | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        const call = client.register(request, new Metadata(), { deadline }, (error) =>
          error === null ? resolve() : reject(error),
        );
        onAbort = () => call.cancel();
        signal.addEventListener("abort", onAbort, { once: true });
      });
    } catch (cause) {
      signal.throwIfAborted();
      throw unavailable(`the kubelet does not take device plugin ${VM_RESOURCE}: ${describeError(cause)}`, {
        cause,
      });
    } finally {
      if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
      client.close();
    }
  }

  /** A cloud that cannot be asked now changes nothing. */
  async #askRoom(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    if (clock.monotonicMs() - this.#roomAtMs < ROOM_MS) return;
    this.#roomAtMs = clock.monotonicMs();
    try {
      this.#room = await this.#options.room(signal);
      this.#roomTrouble = "";
    } catch (error) {
      signal.throwIfAborted();
      const text = describeError(error);
      if (text !== this.#roomTrouble) log.warn("the cloud's quota could not be asked for", { error: text });
      this.#roomTrouble = text;
    }
  }

  /**
   * For the orderly end, after the lock was given back: an instance that stood by registers within moments, and the kubelet then leaves
   * us by itself, so that the resource is never without devices.
   */
  async withdraw(signal: AbortSignal): Promise<"withdrawn" | "kept"> {
    for (let look = 0; look < SUCCESSOR_LOOKS && this.#server?.isWatched === true; look++)
      await this.#deps.clock.sleep(SUCCESSOR_PAUSE_MS, signal).catch(() => undefined);
    const outcome = this.#server?.isWatched === true ? "withdrawn" : "kept";
    this.#close();
    return outcome;
  }

  #close(): void {
    this.#server?.close();
    this.#server = undefined;
    this.#registered = undefined;
  }
}

/** One for each VM that the node takes, healthy as far as there is room. */
export function devicesOf(limit: number, room: number | undefined): readonly Device[] {
  return Array.from({ length: Math.max(0, limit) }, (_, index) => ({
    ID: `vm-${index}`,
    health: room === undefined || index < room ? "Healthy" : "Unhealthy",
  }));
}
