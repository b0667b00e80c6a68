import type {
  CallKind,
  CloudControl,
  CloudFault,
  CloudFaultKind,
  SeenCall,
  Verdict,
} from "../../providers/conformance/index.ts";
import type { Answer, CloudApi, CloudVm, CloudVmBody } from "./cloud-api.ts";

const ANSWERS: Readonly<Record<Exclude<CloudFaultKind, "lost" | "hang">, Answer<never>>> = {
  quota: { status: 400, code: "quota", message: "10 of 10 VMs are used" },
  capacity: { status: 400, code: "capacity", message: "there is no room now" },
  throttled: { status: 429, message: "slow down" },
  unavailable: { status: 503, message: "try again" },
  unauthorised: { status: 401, message: "these credentials are not valid" },
};

interface PendingFault extends CloudFault {
  left: number;
  skipLeft: number;
}

/** The example cloud in memory: it holds VMs, fails as a test asks it to, and says what it saw. */
export class FakeCloud implements CloudApi, CloudControl {
  readonly #vms = new Map<string, CloudVm & { readonly secret: string; readonly willFail: boolean }>();
  readonly #calls: SeenCall[] = [];
  #faults: PendingFault[] = [];
  #held:
    | { readonly number: number; readonly moment: string; readonly hook: () => Promise<Verdict> }
    | undefined;
  #failBoots = 0;
  #made = 0;

  put(name: string, body: CloudVmBody, signal: AbortSignal): Promise<Answer<CloudVm>> {
    return this.#call("create", signal, () => {
      if (this.#vms.has(name)) return { status: 409, message: "the name is taken" };
      this.#made += 1;
      const willFail = this.#failBoots > 0;
      if (willFail) this.#failBoots -= 1;
      const addresses = Array.from({ length: body.addresses }, (_, n) => `192.0.2.${(this.#made + n) % 250}`);
      const vm = { id: `vm-${this.#made}`, name, state: "starting" as const, addresses, tags: body.tags };
      this.#vms.set(name, { ...vm, secret: body.userData, willFail });
      return { status: 201, body: vm };
    });
  }

  /** A VM that is looked at is a step further the next time. */
  get(name: string, signal: AbortSignal): Promise<Answer<CloudVm>> {
    return this.#call("read", signal, () => {
      const vm = this.#vms.get(name);
      if (vm === undefined) return { status: 404, message: "there is no such VM" };
      if (vm.state === "starting") this.#vms.set(name, { ...vm, state: vm.willFail ? "failed" : "running" });
      if (vm.state === "deleting") this.#vms.delete(name);
      return { status: 200, body: vm };
    });
  }

  delete(name: string, signal: AbortSignal): Promise<Answer<never>> {
    return this.#call("delete", signal, () => {
      const vm = this.#vms.get(name);
      if (vm === undefined) return { status: 404, message: "there is no such VM" };
      this.#vms.set(name, { ...vm, state: "deleting" });
      return { status: 202 };
    });
  }

  list(signal: AbortSignal): Promise<Answer<readonly CloudVm[]>> {
    return this.#call("read", signal, () => ({ status: 200, body: [...this.#vms.values()] }));
  }

  async fault(fault: CloudFault): Promise<void> {
    this.#faults.push({ ...fault, left: fault.count ?? 1, skipLeft: fault.skip ?? 0 });
  }

  async clearFaults(): Promise<void> {
    this.#faults = [];
  }

  calls(): readonly SeenCall[] {
    return this.#calls;
  }

  intercept(
    call: { readonly number: number; readonly moment: "before" | "after" } | undefined,
    hook: () => Promise<Verdict>,
  ): void {
    this.#held = call && { number: this.#calls.length + call.number, moment: call.moment, hook };
  }

  async resources(): Promise<readonly string[]> {
    return [...this.#vms.keys()].map((name) => `vm ${name}`).sort();
  }

  async vmNames(): Promise<readonly string[]> {
    return [...this.#vms.keys()];
  }

  async failNextBoot(): Promise<void> {
    this.#failBoots += 1;
  }

  async vanish(name: string): Promise<void> {
    this.#vms.delete(name);
  }

  async #call<T>(kind: CallKind, signal: AbortSignal, effect: () => Answer<T>): Promise<Answer<T>> {
    signal.throwIfAborted();
    const given = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => given.reject(signal.reason), { once: true });
    const fault = this.#takeFault(kind);
    const number = this.#calls.push({ kind, atMs: performance.now(), fault: fault?.kind }) - 1;
    return await Promise.race([given.promise, this.#answer(number, fault, effect)]);
  }

  async #answer<T>(
    number: number,
    fault: CloudFault | undefined,
    effect: () => Answer<T>,
  ): Promise<Answer<T>> {
    await this.#hold(number, "before");
    if (fault?.kind === "hang") return await Promise.withResolvers<never>().promise;
    if (fault !== undefined && fault.kind !== "lost") {
      const { retryAfterMs } = fault;
      return { ...ANSWERS[fault.kind], ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
    }
    const answer = effect();
    await this.#hold(number, "after");
    if (fault !== undefined) throw new Error("the connection was reset");
    return answer;
  }

  async #hold(number: number, moment: "before" | "after"): Promise<void> {
    const held = this.#held;
    if (held?.number !== number || held.moment !== moment) return;
    if ((await held.hook()) === "drop") throw new Error("the connection was reset");
  }

  #takeFault(kind: CallKind): CloudFault | undefined {
    for (const fault of this.#faults) {
      if (fault.left === 0 || (fault.on !== "any" && fault.on !== kind)) continue;
      if (fault.skipLeft > 0) fault.skipLeft -= 1;
      else {
        fault.left -= 1;
        return fault;
      }
    }
    return undefined;
  }
}
