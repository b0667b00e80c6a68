import type {
  CreateOptions,
  Finding,
  ListFilter,
  Provider,
  ProviderLimits,
  Vm,
  VmRef,
  VmRequest,
} from "../../providers/contract.ts";
import { OwnerTag } from "../../providers/contract.ts";
import { alreadyExists, gone } from "../../src/errors/index.ts";
import type { Secret } from "../../src/platform/index.ts";

type Operation = "create" | "get" | "delete" | "list" | "user-data";

/**
 * A cloud in memory. Holds real state and fails when told to; a create can be held before or after the VM is there. It does
 * not boot anything and has no delays of its own.
 */
export class FakeProvider implements Provider {
  readonly name = "fake";
  readonly limits: ProviderLimits = { userDataBytes: 64 * 1024 };
  readonly vms: Map<string, Vm> = new Map();
  readonly calls: string[] = [];
  /** What was asked to be made. */
  readonly requests: VmRequest[] = [];
  /** What each VM would read now. */
  readonly userData: Map<string, string> = new Map();
  /** VMs ever made, to count doubles. */
  made = 0;
  readonly #failures = new Map<Operation, Error[]>();
  readonly #gates = new Map<string, PromiseWithResolvers<void>>();
  #nextAddress = 1;

  failNext(operation: Operation, ...errors: Error[]): void {
    this.#failures.set(operation, [...(this.#failures.get(operation) ?? []), ...errors]);
  }

  /** Holds calls at `point` until the returned function is called. */
  hold(point: "create-before" | "create-after" | "delete"): () => void {
    const gate = Promise.withResolvers<void>();
    this.#gates.set(point, gate);
    return () => {
      this.#gates.delete(point);
      gate.resolve();
    };
  }

  async #pass(point: string, signal: AbortSignal): Promise<void> {
    const gate = this.#gates.get(point);
    if (gate === undefined) return;
    const left = Promise.withResolvers<never>();
    const onAbort = (): void => left.reject(signal.reason);
    signal.throwIfAborted();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([gate.promise, left.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #begin(operation: Operation, about: string): void {
    this.calls.push(`${operation} ${about}`);
    const failure = this.#failures.get(operation)?.shift();
    if (failure !== undefined) throw failure;
  }

  async create(request: VmRequest, options: CreateOptions): Promise<Vm> {
    this.#begin("create", request.name);
    this.requests.push(request);
    await this.#pass("create-before", options.signal);
    const known = this.vms.get(request.name);
    if (known !== undefined && known.tags[OwnerTag.Sandbox] !== request.tags[OwnerTag.Sandbox]) {
      throw alreadyExists(`VM ${request.name} is another sandbox's`);
    }
    const vm = known ?? this.#make(request);
    options.onId(vm.id);
    await this.#pass("create-after", options.signal);
    return vm;
  }

  #make(request: VmRequest): Vm {
    this.made++;
    const vm: Vm = {
      id: `id-${this.made}`,
      name: request.name,
      lifecycle: "running",
      addresses: [`10.0.0.${this.#nextAddress++}`],
      tags: request.tags,
    };
    this.vms.set(vm.name, vm);
    this.userData.set(vm.name, request.userData.reveal());
    return vm;
  }

  async get(ref: VmRef): Promise<Vm | undefined> {
    this.#begin("get", ref.name);
    return this.#find(ref);
  }

  async updateUserData(ref: VmRef, userData: Secret): Promise<void> {
    this.#begin("user-data", ref.name);
    if (!this.vms.has(ref.name)) throw gone(`there is no VM ${ref.name}`);
    this.userData.set(ref.name, userData.reveal());
  }

  #find(ref: VmRef): Vm | undefined {
    return [...this.vms.values()].find((vm) => vm.id === ref.id) ?? this.vms.get(ref.name);
  }

  async delete(ref: VmRef, signal: AbortSignal): Promise<void> {
    this.#begin("delete", ref.name);
    await this.#pass("delete", signal);
    const vm = this.#find(ref);
    if (vm !== undefined) this.vms.delete(vm.name);
  }

  async list(filter: ListFilter): Promise<readonly Vm[]> {
    this.#begin("list", filter.clusterId);
    return [...this.vms.values()].filter(
      (vm) =>
        filter.names?.includes(vm.name) === true ||
        (vm.tags[OwnerTag.Cluster] === filter.clusterId &&
          (filter.nodeName === undefined || vm.tags[OwnerTag.Node] === filter.nodeName)),
    );
  }

  async verify(): Promise<readonly Finding[]> {
    return [];
  }

  async close(): Promise<void> {
    // Nothing is open.
  }
}
