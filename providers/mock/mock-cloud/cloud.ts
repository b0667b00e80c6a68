import { randomBytes } from "node:crypto";
import { describeError, isCaaError } from "../../../src/errors/index.ts";
import { type Clock, type Log, Secret } from "../../../src/platform/index.ts";
import {
  type Action,
  ApiError,
  type CreateRequest,
  type QuotaView,
  type SettingsPatch,
  type VmPage,
  type VmView,
} from "./api.ts";
import type { CloudSettings } from "./config.ts";
import { ConsoleBuffer } from "./console-buffer.ts";
import { type ImageSource, resolveImage } from "./images.ts";
import type { Machine, Machines } from "./machines.ts";

export interface CloudDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly machines: Machines;
  readonly images: ImageSource;
}

export interface ListQuery {
  /** All of them must be seen on the VM. */
  readonly tags: Readonly<Record<string, string>>;
  /** Any of them; empty: all. */
  readonly names: readonly string[];
  /** `next` of the page before. */
  readonly after: string | undefined;
}

/** Time between tries to take down a VM whose processes or devices do not go. */
const DESTROY_RETRY_MS = 1000;

/** A VM that exists in the cloud's books. Removed from them only when nothing of it is left. */
interface VmRecord {
  readonly id: string;
  readonly sequence: number;
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly createdAtMs: number;
  readonly tagsFromMs: number;
  readonly console: ConsoleBuffer;
  readonly abort: AbortController;
  userData: Secret;
  lifecycle: VmView["lifecycle"];
  detail: string | undefined;
  addresses: readonly string[];
  machine: Machine | undefined;
  booted: boolean;
  /** The boot, then the delete: awaited before the next step. */
  work: Promise<void>;
  deletion: Promise<void> | undefined;
}

/** The books of the cloud and what happens to its VMs. Every method but `close` answers at once; the work goes on behind it. */
export class MockCloud {
  readonly #deps: CloudDeps;
  readonly #vms = new Map<string, VmRecord>();
  #settings: CloudSettings;
  #sequence = 0;
  #bootFailures = 0;
  #closed = false;

  constructor(deps: CloudDeps, settings: CloudSettings) {
    this.#deps = deps;
    this.#settings = settings;
  }

  get settings(): CloudSettings {
    return this.#settings;
  }

  vmNames(): readonly string[] {
    return [...this.#vms.values()].map(({ name }) => name);
  }

  change(patch: SettingsPatch): void {
    const { bootFailures, ...settings } = patch;
    const given = Object.entries(settings).filter(([, value]) => value !== undefined);
    this.#settings = { ...this.#settings, ...Object.fromEntries(given) };
    if (bootFailures !== undefined) this.#bootFailures = bootFailures;
  }

  async create(request: CreateRequest): Promise<VmView> {
    const argv = await resolveImage(this.#deps.images, request.image);
    this.#admit(request);
    const now = this.#deps.clock.monotonicMs();
    this.#sequence += 1;
    const vm: VmRecord = {
      id: `i-${randomBytes(8).toString("hex")}`,
      sequence: this.#sequence,
      name: request.name,
      tags: request.tags,
      createdAtMs: this.#deps.clock.wallMs(),
      tagsFromMs: now + this.#settings.tagDelayMs,
      console: new ConsoleBuffer(),
      abort: new AbortController(),
      userData: new Secret(request.userData),
      lifecycle: "creating",
      detail: undefined,
      addresses: [],
      machine: undefined,
      booted: false,
      work: Promise.resolve(),
      deletion: undefined,
    };
    this.#vms.set(vm.id, vm);
    this.#deps.log.info("VM created", { vmName: vm.name, vmId: vm.id });
    vm.work = this.#boot(vm, argv, request.interfaces ?? 1);
    return this.#view(vm);
  }

  get(id: string): VmView {
    return this.#view(this.#find(id));
  }

  list(query: ListQuery): VmPage {
    const after = Number(query.after ?? "0");
    if (!Number.isSafeInteger(after)) throw new ApiError("invalid", `after=${query.after} is not a page`);
    const found = [...this.#vms.values()]
      .filter((vm) => vm.sequence > after && (query.names.length === 0 || query.names.includes(vm.name)))
      .filter((vm) => {
        const seen = this.#visibleTags(vm);
        return Object.entries(query.tags).every(([key, value]) => seen[key] === value);
      });
    const page = found.slice(0, this.#settings.pageSize);
    const last = page.at(-1);
    return {
      vms: page.map((vm) => this.#view(vm)),
      ...(last && page.length < found.length ? { next: `${last.sequence}` } : {}),
    };
  }

  /** Begins the delete; a second one changes nothing. */
  delete(id: string): VmView {
    const vm = this.#find(id);
    vm.deletion ??= this.#delete(vm, this.#settings.deleteDelayMs);
    return this.#view(vm);
  }

  console(id: string): string {
    return this.#find(id).console.text();
  }

  async setUserData(id: string, userData: string): Promise<void> {
    const vm = this.#find(id);
    this.#checkUserData(userData);
    if (vm.lifecycle !== "creating" && vm.lifecycle !== "running")
      throw new ApiError("wrong-state", `VM ${vm.name} is ${vm.lifecycle}`);
    vm.userData = new Secret(userData);
    if (vm.booted) await vm.machine?.setUserData(vm.userData);
  }

  quota(): QuotaView {
    return { limit: this.#settings.quota, used: this.#vms.size };
  }

  async act(id: string, action: Action): Promise<void> {
    const vm = this.#find(id);
    if (action.action === "vanish") {
      vm.deletion ??= this.#delete(vm, 0);
      await vm.deletion;
      return;
    }
    const machine = vm.machine;
    if (!machine || !vm.booted)
      throw new ApiError("wrong-state", `VM ${vm.name} is ${vm.lifecycle} and has not booted`);
    try {
      await actOnMachine(machine, action);
    } catch (error) {
      if (isCaaError(error, "unsupported")) throw new ApiError("unsupported", error.message);
      throw error;
    }
  }

  /** Takes down every VM. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(
      [...this.#vms.values()].map((vm) => {
        vm.deletion ??= this.#delete(vm, 0);
        return vm.deletion;
      }),
    );
  }

  #admit(request: CreateRequest): void {
    if (this.#closed) throw new ApiError("unavailable", "the machine room is closing");
    this.#checkUserData(request.userData);
    if ([...this.#vms.values()].some(({ name }) => name === request.name))
      throw new ApiError("already-exists", `a VM named ${request.name} exists`);
    const { quota } = this.#settings;
    if (quota > 0 && this.#vms.size >= quota)
      throw new ApiError("quota", `the quota of ${quota} VMs is used up; delete VMs or raise -quota`);
  }

  #checkUserData(userData: string): void {
    const bytes = Buffer.byteLength(userData);
    const limit = this.#settings.userDataLimitBytes;
    if (bytes > limit)
      throw new ApiError("invalid", `user data of ${bytes} bytes is over this cloud's limit of ${limit}`);
  }

  #find(id: string): VmRecord {
    const vm = this.#vms.get(id);
    if (!vm) throw new ApiError("not-found", `there is no VM ${id}`);
    return vm;
  }

  #visibleTags(vm: VmRecord): Readonly<Record<string, string>> {
    return this.#deps.clock.monotonicMs() >= vm.tagsFromMs ? vm.tags : {};
  }

  #view(vm: VmRecord): VmView {
    return {
      id: vm.id,
      name: vm.name,
      lifecycle: vm.lifecycle,
      addresses: [...vm.addresses],
      tags: this.#visibleTags(vm),
      createdAtMs: vm.createdAtMs,
      ...(vm.detail === undefined ? {} : { detail: vm.detail }),
    };
  }

  /** Never rejects: what goes wrong becomes the VM's state. */
  async #boot(vm: VmRecord, argv: readonly [string, ...string[]], interfaces: number): Promise<void> {
    const { clock, log, machines } = this.#deps;
    const begun = clock.monotonicMs();
    try {
      if (this.#settings.bootDelayMs > 0) await clock.sleep(this.#settings.bootDelayMs, vm.abort.signal);
      if (this.#bootFailures > 0) {
        this.#bootFailures -= 1;
        throw new ApiError("internal", "the VM does not boot (injected)");
      }
      const spec = { id: vm.id, name: vm.name, argv, userData: vm.userData, interfaces };
      const onConsole = (chunk: Buffer): void => vm.console.write(chunk);
      const machine = machines.prepare({ ...spec, onConsole });
      vm.machine = machine;
      await machine.boot(vm.abort.signal);
      vm.booted = true;
      if (vm.userData !== spec.userData) await machine.setUserData(vm.userData);
      void machine.exited.then((text) => {
        if (vm.lifecycle === "running") vm.lifecycle = "stopped";
        vm.detail = text;
        log.info("VM ended", { vmName: vm.name, vmId: vm.id, reason: text });
      });
      if (vm.lifecycle === "creating") vm.lifecycle = "running";
      log.info("VM running", { vmName: vm.name, vmId: vm.id, durationMs: clock.monotonicMs() - begun });
      if (this.#settings.addressDelayMs > 0)
        await clock.sleep(this.#settings.addressDelayMs, vm.abort.signal);
      vm.addresses = machine.addresses;
    } catch (error) {
      if (vm.abort.signal.aborted) return;
      vm.lifecycle = "failed";
      vm.detail = describeError(error);
      log.warn("VM did not boot", { vmName: vm.name, vmId: vm.id, error: vm.detail });
    }
  }

  async #delete(vm: VmRecord, delayMs: number): Promise<void> {
    const { clock, log } = this.#deps;
    vm.lifecycle = "deleting";
    vm.abort.abort();
    await vm.work;
    if (delayMs > 0) await clock.sleep(delayMs);
    while (vm.machine) {
      try {
        await vm.machine.destroy();
        break;
      } catch (error) {
        vm.detail = describeError(error);
        log.error("a VM could not be taken down; trying again", { vmName: vm.name, error: vm.detail });
        await clock.sleep(DESTROY_RETRY_MS);
      }
    }
    this.#vms.delete(vm.id);
    log.info("VM gone", { vmName: vm.name, vmId: vm.id });
  }
}

async function actOnMachine(machine: Machine, action: Exclude<Action, { action: "vanish" }>): Promise<void> {
  switch (action.action) {
    case "kill":
      await machine.kill();
      await machine.exited;
      return;
    case "freeze":
      return machine.freeze(true);
    case "thaw":
      return machine.freeze(false);
    case "link-reset":
      return machine.breakLink({ kind: "reset" });
    case "link-down":
      return machine.breakLink({ kind: "down" });
    case "link-up":
      return machine.breakLink({ kind: "up" });
    case "link-loss":
      return machine.breakLink({ kind: "loss", percent: action.percent });
  }
}
