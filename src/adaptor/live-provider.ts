import type { CreateOptions, Provider, Vm, VmRef, VmRequest } from "../../providers/contract.ts";
import { describeError, unsupported } from "../errors/index.ts";
import type { Log } from "../platform/index.ts";

/** One provider, and how many calls are under way in it. */
interface Instance {
  readonly provider: Provider;
  calls: number;
}

/**
 * A provider that can be replaced while calls are under way. New calls go to the newest; what runs ends where it began, and an
 * older one is closed when nothing needs it any more. All are of the same module and differ in their options only, so that a VM
 * of one is found by the others: by name and tags.
 */
export class LiveProvider {
  /** What the lifecycle calls. */
  readonly provider: Provider;
  readonly #log: Log;
  #newest: Instance;
  readonly #older = new Set<Instance>();
  /**
   * Who tried to make a VM and failed: a cloud may still carry out such a create, and only the one who asked knows to wait for
   * that when the VM is deleted.
   */
  readonly #tried = new Map<string, Instance>();

  constructor(first: Provider, log: Log) {
    this.#log = log;
    this.#newest = { provider: first, calls: 0 };
    this.provider = this.#facade(first);
  }

  /** From now on `next` is asked. */
  replace(next: Provider): void {
    this.#older.add(this.#newest);
    this.#newest = { provider: next, calls: 0 };
    this.#closeIdle();
  }

  /** Closes all of them. */
  async close(): Promise<void> {
    const all = [this.#newest, ...this.#older];
    this.#older.clear();
    await Promise.all(all.map(({ provider }) => provider.close()));
  }

  #facade(first: Provider): Provider {
    const newest = <T>(ask: (provider: Provider) => Promise<T>): Promise<T> => this.#in(this.#newest, ask);
    const limits = (): Provider["limits"] => this.#newest.provider.limits;
    const lacking = (what: string) => unsupported(`provider ${first.name} has no ${what}`);
    return {
      name: first.name,
      get limits() {
        return limits();
      },
      verify: (signal) => newest((provider) => provider.verify(signal)),
      create: (request, options) => this.#create(request, options),
      get: (ref, signal) => newest((provider) => provider.get(ref, signal)),
      delete: (ref, signal) => this.#delete(ref, signal),
      list: (filter, signal) => newest((provider) => provider.list(filter, signal)),
      ...(first.updateUserData && {
        updateUserData: (ref, userData, signal) =>
          newest(async (provider) => {
            if (provider.updateUserData === undefined) throw lacking("way to change user data");
            await provider.updateUserData(ref, userData, signal);
          }),
      }),
      ...(first.console && {
        console: (ref, signal) =>
          newest(async (provider) => {
            if (provider.console === undefined) throw lacking("console");
            return await provider.console(ref, signal);
          }),
      }),
      ...(first.quota && {
        quota: (signal) => newest(async (provider) => await provider.quota?.(signal)),
      }),
      close: () => this.close(),
    };
  }

  async #create(request: VmRequest, options: CreateOptions): Promise<Vm> {
    const instance = this.#newest;
    this.#tried.set(request.name, instance);
    const vm = await this.#in(instance, (provider) => provider.create(request, options));
    this.#forget(request.name, instance);
    return vm;
  }

  async #delete(ref: VmRef, signal: AbortSignal): Promise<void> {
    const instance = this.#tried.get(ref.name) ?? this.#newest;
    await this.#in(instance, (provider) => provider.delete(ref, signal));
    this.#forget(ref.name, instance);
  }

  #forget(name: string, instance: Instance): void {
    if (this.#tried.get(name) === instance) this.#tried.delete(name);
    this.#closeIdle();
  }

  async #in<T>(instance: Instance, ask: (provider: Provider) => Promise<T>): Promise<T> {
    instance.calls++;
    try {
      return await ask(instance.provider);
    } finally {
      instance.calls--;
      this.#closeIdle();
    }
  }

  #closeIdle(): void {
    const needed = new Set(this.#tried.values());
    for (const instance of this.#older) {
      if (instance.calls > 0 || needed.has(instance)) continue;
      this.#older.delete(instance);
      instance.provider.close().catch((error: unknown) =>
        this.#log.warn("the provider with the former settings could not be closed", {
          error: describeError(error),
        }),
      );
    }
  }
}
