import {
  alreadyExists,
  type CaaError,
  cancelled,
  capacityExhausted,
  describeError,
  type ErrorDetails,
  gone,
  internal,
  invalidRequest,
  isCaaError,
  notFound,
  quotaExceeded,
  throttled,
  tooLarge,
  unauthorised,
  unavailable,
  unsupported,
  wrongState,
} from "../../src/errors/index.ts";
import type { Clock, Secret } from "../../src/platform/index.ts";
import {
  type CreateOptions,
  type Finding,
  type ListFilter,
  OwnerTag,
  type Provider,
  type ProviderContext,
  type Vm,
  type VmRef,
  type VmRequest,
} from "../contract.ts";
import { ApiError, type CreateRequest, type MockCloudClient, type VmView } from "./mock-cloud/index.ts";

export interface MockProviderConfig {
  /** "" leaves the choice to the machine room; else a path or a name in its folder of images. */
  readonly image: string;
  readonly userDataLimitBytes: number;
  /** Put on every VM, below the owner's tags. */
  readonly tags: Readonly<Record<string, string>>;
}

const FIRST_POLL_MS = 10;
const LAST_POLL_MS = 500;
/** Longest that a VM found by name may show no tags before it counts as somebody else's. */
const TAG_LIMIT_MS = 60_000;

type Make = (message: string, details?: ErrorDetails) => CaaError;
const MAKERS: Readonly<Record<ApiError["kind"], Make>> = {
  invalid: invalidRequest,
  unauthorised,
  quota: quotaExceeded,
  "not-found": notFound,
  "already-exists": alreadyExists,
  "wrong-state": wrongState,
  throttled,
  internal: unavailable,
  unsupported,
  unavailable,
  capacity: capacityExhausted,
};

/** What went wrong with the machine room, as one of ours. A connection that failed is `unavailable`. */
function toCaaError(error: unknown, what: string, signal: AbortSignal): CaaError {
  if (isCaaError(error)) return error;
  if (signal.aborted) return cancelled(`${what} was given up`, { cause: error });
  if (!(error instanceof ApiError))
    return unavailable(
      `${what}: cannot reach the machine room (${describeError(error)}); is mock-cloud running?`,
      {
        cause: error,
      },
    );
  return MAKERS[error.kind](`${what}: ${error.message}`, {
    cause: error,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
  });
}

/** The mock cloud as a provider. */
export class MockProvider implements Provider {
  readonly name = "mock";
  readonly limits: Provider["limits"];
  readonly #clock: Clock;
  readonly #owner: ProviderContext["owner"];
  readonly #client: MockCloudClient;
  readonly #config: MockProviderConfig;

  constructor(context: ProviderContext, client: MockCloudClient, config: MockProviderConfig) {
    this.#clock = context.clock;
    this.#owner = context.owner;
    this.#client = client;
    this.#config = config;
    this.limits = { userDataBytes: config.userDataLimitBytes };
  }

  async verify(signal: AbortSignal): Promise<readonly Finding[]> {
    try {
      const status = await this.#client.status(signal);
      const kind = status.rootless ? "plain processes without network" : "Linux namespaces";
      const findings: Finding[] = [
        {
          check: "machine room",
          level: "ok",
          text: `${status.instance}: VMs are ${kind}, ${status.vms} exist`,
        },
      ];
      const left = await this.quota(signal);
      if (left !== undefined)
        findings.push({
          check: "quota",
          level: left > 0 ? "ok" : "warning",
          text: left > 0 ? `room for ${left} more VMs` : "no VM fits any more; delete some or raise -quota",
        });
      if (status.userDataLimitBytes < this.limits.userDataBytes)
        findings.push({
          check: "user data",
          level: "warning",
          text: `the machine room takes ${status.userDataLimitBytes} bytes of user data, -mock-user-data-limit says ${this.limits.userDataBytes}`,
        });
      return findings;
    } catch (error) {
      const failure = toCaaError(error, "verifying the mock cloud", signal);
      if (failure.kind === "cancelled") throw failure;
      return [{ check: "machine room", level: "error", text: failure.message }];
    }
  }

  async create(request: VmRequest, options: CreateOptions): Promise<Vm> {
    const { signal } = options;
    const what = `creating VM ${request.name}`;
    const bytes = Buffer.byteLength(request.userData.reveal());
    if (bytes > this.limits.userDataBytes)
      throw tooLarge(
        `${what}: user data of ${bytes} bytes is over the limit of ${this.limits.userDataBytes}`,
      );
    const made = await this.#createOrAdopt(request, what, signal);
    options.onId(made.id);
    options.onProgress("waiting for the VM's address");
    return this.#waitForAddress(made, what, signal);
  }

  async get(ref: VmRef, signal: AbortSignal): Promise<Vm | undefined> {
    const found = await this.#find(ref, `looking for VM ${ref.name}`, signal);
    return found && toVm(found);
  }

  async delete(ref: VmRef, signal: AbortSignal): Promise<void> {
    const what = `deleting VM ${ref.name}`;
    for (let pollMs = FIRST_POLL_MS; ; pollMs = nextPoll(pollMs)) {
      const vm = await this.#patiently(() => this.#find(ref, what, signal), signal);
      if (!vm) return;
      if (vm.lifecycle === "deleting") await this.#sleep(pollMs, what, signal);
      else await this.#beginDelete(vm, what, signal);
    }
  }

  async list(filter: ListFilter, signal: AbortSignal): Promise<readonly Vm[]> {
    const what = "listing VMs";
    if (filter.clusterId === "") throw internal("the VMs of an unknown cluster were asked for");
    const tags = {
      [OwnerTag.Cluster]: filter.clusterId,
      ...(filter.nodeName === undefined ? {} : { [OwnerTag.Node]: filter.nodeName }),
    };
    const names = filter.names ?? [];
    const byTags = await this.#pages({ tags, names: [] }, what, signal);
    const byName = names.length === 0 ? [] : await this.#pages({ tags: {}, names }, what, signal);
    return [...new Map([...byTags, ...byName].map((vm) => [vm.id, toVm(vm)])).values()];
  }

  async updateUserData(ref: VmRef, userData: Secret, signal: AbortSignal): Promise<void> {
    const what = `updating the user data of VM ${ref.name}`;
    const bytes = Buffer.byteLength(userData.reveal());
    if (bytes > this.limits.userDataBytes)
      throw tooLarge(`${what}: ${bytes} bytes are over the limit of ${this.limits.userDataBytes}`);
    const vm = await this.#need(ref, what, signal);
    await this.#ask(what, signal, () => this.#client.setUserData(vm.id, userData.reveal(), signal));
  }

  async console(ref: VmRef, signal: AbortSignal): Promise<string> {
    const what = `reading the console of VM ${ref.name}`;
    const vm = await this.#need(ref, what, signal);
    return this.#ask(what, signal, () => this.#client.console(vm.id, signal));
  }

  async quota(signal: AbortSignal): Promise<number | undefined> {
    const { limit, used } = await this.#ask("asking for the quota", signal, () => this.#client.quota(signal));
    return limit === 0 ? undefined : Math.max(0, limit - used);
  }

  async close(): Promise<void> {
    // Every call has a connection of its own, and ended with it.
  }

  async #createOrAdopt(request: VmRequest, what: string, signal: AbortSignal): Promise<VmView> {
    try {
      return await this.#client.create(this.#body(request), signal);
    } catch (error) {
      const exists = error instanceof ApiError && error.kind === "already-exists";
      const unanswered = !(error instanceof ApiError) && !signal.aborted;
      const failure = toCaaError(error, what, signal);
      if (!exists && !unanswered) throw failure;
      // It exists, or nobody knows whether it does: the cloud is asked before anything is made again.
      const found = await this.#find({ name: request.name }, what, signal);
      if (!found) throw unavailable(`${failure.message}; no VM was made`, { cause: error });
      return this.#adopt(found, request, signal);
    }
  }

  /** Takes a VM of that name for ours when it has our sandbox's tag; tags may come some time after the VM. */
  async #adopt(found: VmView, request: VmRequest, signal: AbortSignal): Promise<VmView> {
    const what = `creating VM ${request.name}`;
    const wanted = request.tags[OwnerTag.Sandbox];
    const deadline = this.#clock.monotonicMs() + TAG_LIMIT_MS;
    let vm = found;
    for (let pollMs = FIRST_POLL_MS; ; pollMs = nextPoll(pollMs)) {
      if (vm.lifecycle === "deleting") throw gone(`${what}: the VM of that name is being deleted`);
      const sandbox = vm.tags[OwnerTag.Sandbox];
      if (sandbox !== undefined && sandbox === wanted) return vm;
      const untagged = Object.keys(vm.tags).length === 0;
      if (!untagged || this.#clock.monotonicMs() > deadline)
        throw alreadyExists(`${what}: a VM of that name belongs to sandbox ${sandbox ?? "(none)"}`);
      await this.#sleep(pollMs, what, signal);
      const again = await this.#patiently(() => this.#find(vm, what, signal), signal);
      if (!again) throw gone(`${what}: the VM was deleted meanwhile`);
      vm = again;
    }
  }

  async #waitForAddress(made: VmView, what: string, signal: AbortSignal): Promise<Vm> {
    let vm = made;
    for (let pollMs = FIRST_POLL_MS; ; pollMs = nextPoll(pollMs)) {
      if (vm.lifecycle === "running" && vm.addresses.length > 0) return toVm(vm);
      if (vm.lifecycle === "failed" || vm.lifecycle === "stopped")
        throw unavailable(`${what}: the VM ${vm.lifecycle}: ${vm.detail ?? "no reason given"}`);
      if (vm.lifecycle === "deleting") throw gone(`${what}: the VM is being deleted`);
      await this.#sleep(pollMs, what, signal);
      const again = await this.#patiently(() => this.#find(vm, what, signal), signal);
      if (!again) throw gone(`${what}: the VM was deleted while it started`);
      vm = again;
    }
  }

  async #beginDelete(vm: VmView, what: string, signal: AbortSignal): Promise<void> {
    await this.#patiently(async () => {
      try {
        await this.#client.delete(vm.id, signal);
      } catch (error) {
        if (error instanceof ApiError && error.kind === "not-found") return;
        throw toCaaError(error, what, signal);
      }
    }, signal);
  }

  /** By id; by name when there is no id or the cloud no longer knows it. */
  async #find(ref: VmRef, what: string, signal: AbortSignal): Promise<VmView | undefined> {
    const { id, name } = ref;
    try {
      if (id !== undefined) return await this.#client.get(id, signal);
    } catch (error) {
      if (!(error instanceof ApiError && error.kind === "not-found")) throw toCaaError(error, what, signal);
    }
    return (await this.#pages({ tags: {}, names: [name] }, what, signal))[0];
  }

  async #need(ref: VmRef, what: string, signal: AbortSignal): Promise<VmView> {
    const vm = await this.#find(ref, what, signal);
    if (!vm) throw gone(`${what}: the cloud has no such VM`);
    return vm;
  }

  async #pages(
    query: { tags: Readonly<Record<string, string>>; names: readonly string[] },
    what: string,
    signal: AbortSignal,
  ): Promise<readonly VmView[]> {
    const found: VmView[] = [];
    for (let after: string | undefined; ; ) {
      const page = await this.#ask(what, signal, () => this.#client.list({ ...query, after }, signal));
      found.push(...page.vms);
      if (page.next === undefined) return found;
      after = page.next;
    }
  }

  async #ask<T>(what: string, signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw toCaaError(error, what, signal);
    }
  }

  /** A step of a wait that is already under way: what passes by itself is waited for, as long as the caller does. */
  async #patiently<T>(step: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let pollMs = FIRST_POLL_MS; ; pollMs = nextPoll(pollMs)) {
      try {
        return await step();
      } catch (error) {
        if (!isCaaError(error, "throttled", "unavailable")) throw error;
        await this.#sleep(Math.max(pollMs, error.retryAfterMs ?? 0), error.message, signal);
      }
    }
  }

  async #sleep(ms: number, what: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#clock.sleep(ms, signal);
    } catch (error) {
      throw toCaaError(error, what, signal);
    }
  }

  #body(request: VmRequest): CreateRequest {
    const image = request.image === "" ? this.#config.image : request.image;
    const fromPod = request.image !== "";
    return {
      name: request.name,
      tags: { ...this.#config.tags, ...request.tags, ...this.#ownerTags() },
      userData: request.userData.reveal(),
      interfaces: 1 + Number(request.dedicatedTunnelInterface) + Number(request.externalNetworkInterface),
      ...(image === ""
        ? {}
        : { image: !fromPod && image.startsWith("/") ? { path: image } : { name: image } }),
    };
  }

  #ownerTags(): Readonly<Record<string, string>> {
    const { clusterId, nodeName } = this.#owner;
    return { [OwnerTag.Cluster]: clusterId, [OwnerTag.Node]: nodeName };
  }
}

const nextPoll = (ms: number): number => Math.min(LAST_POLL_MS, Math.ceil(ms * 1.5));

function toVm(vm: VmView): Vm {
  return {
    id: vm.id,
    name: vm.name,
    lifecycle: vm.lifecycle,
    addresses: vm.addresses,
    tags: vm.tags,
    createdAtMs: vm.createdAtMs,
    ...(vm.detail === undefined ? {} : { detail: vm.detail }),
  };
}
