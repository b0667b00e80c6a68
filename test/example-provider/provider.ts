import type {
  CreateOptions,
  Finding,
  ListFilter,
  OptionReader,
  OptionSpec,
  Provider,
  ProviderContext,
  ProviderModule,
  Vm,
  VmRef,
  VmRequest,
} from "../../providers/contract.ts";
import { OwnerTag } from "../../providers/contract.ts";
import {
  errorFromStatus,
  outcomeOfStatus,
  pause,
  type RetryPolicy,
  retry,
  timedCall,
} from "../../providers/retry/index.ts";
import {
  alreadyExists,
  type CaaError,
  cancelled,
  capacityExhausted,
  gone,
  internal,
  invalidConfig,
  isCaaError,
  quotaExceeded,
  tooLarge,
  unavailable,
} from "../../src/errors/index.ts";
import type { Answer, CloudApi, CloudVm } from "./cloud-api.ts";

const USER_DATA_BYTES = 16 * 1024;
const POLL_MS = 10;
/** Only for what may be asked twice: reads and deletes, never the create itself. */
const PATIENT: RetryPolicy = { tries: 5, baseMs: 20, capMs: 1000, budgetMs: 120_000 };

const OPTIONS: readonly OptionSpec[] = [
  {
    flag: "example-region",
    env: "EXAMPLE_REGION",
    kind: "string",
    required: true,
    help: "Region of the pod VMs.",
    validate: (text) => (/^[a-z]+-\d$/.test(text) ? undefined : "give letters, a dash and a digit: north-1"),
  },
  { flag: "example-tags", env: "EXAMPLE_TAGS", kind: "tags", live: true, help: "Tags for every VM: K=V,..." },
];

/** The module, as providers/index.ts would list it; `connect` makes the client of a region. */
export function exampleModule(connect: (region: string) => CloudApi): ProviderModule {
  return {
    name: "example",
    options: OPTIONS,
    async create(context: ProviderContext, options: OptionReader): Promise<Provider> {
      const region = options.string("example-region");
      if (region === "") throw invalidConfig("EXAMPLE_REGION is not set; give the region of the pod VMs");
      return new ExampleProvider(context, connect(region), options.tags("example-tags"));
    },
  };
}

interface AboutCall {
  /** For errors: what was to be done, on which object. */
  readonly what: string;
  /** For metrics: which call of the API. */
  readonly operation: string;
  readonly repeated?: boolean;
}

class ExampleProvider implements Provider {
  readonly name = "example";
  readonly limits: Provider["limits"] = { userDataBytes: USER_DATA_BYTES };
  readonly #context: ProviderContext;
  readonly #api: CloudApi;
  readonly #userTags: Readonly<Record<string, string>>;

  constructor(context: ProviderContext, api: CloudApi, userTags: Readonly<Record<string, string>>) {
    this.#context = context;
    this.#api = api;
    this.#userTags = userTags;
  }

  async verify(signal: AbortSignal): Promise<readonly Finding[]> {
    try {
      const vms = await this.#all("asking for the account's VMs", signal);
      return [{ check: "account", level: "ok", text: `${vms.length} VMs are there` }];
    } catch (error) {
      if (!isCaaError(error) || error.kind === "cancelled") throw error;
      return [{ check: "account", level: "error", text: error.message }];
    }
  }

  async create(request: VmRequest, { signal, onId, onProgress }: CreateOptions): Promise<Vm> {
    const what = `creating VM ${request.name}`;
    const userData = request.userData.reveal();
    if (Buffer.byteLength(userData) > USER_DATA_BYTES)
      throw tooLarge(`${what}: its user data is over the limit of ${USER_DATA_BYTES} bytes`);
    const body = {
      // Ours come last: an operator's tag cannot take a VM from its owner.
      tags: { ...this.#userTags, ...request.tags },
      userData,
      addresses: 1 + Number(request.dedicatedTunnelInterface) + Number(request.externalNetworkInterface),
    };
    try {
      await this.#ask({ what, operation: "vms.put" }, signal, () =>
        this.#api.put(request.name, body, signal),
      );
    } catch (error) {
      // It is there already, or the answer was lost and nobody knows: the look below tells.
      if (!isCaaError(error, "already-exists", "unavailable")) throw error;
    }
    for (let first = true; ; first = false) {
      const vm = await this.#find(request.name, what, signal);
      if (vm === undefined) throw unavailable(`${what}: no VM was made; it may be tried again`);
      if (vm.tags[OwnerTag.Sandbox] !== request.tags[OwnerTag.Sandbox])
        throw alreadyExists(
          `${what}: a VM of that name belongs to another sandbox; delete it if nothing uses it`,
        );
      if (first) onId(vm.id);
      if (vm.state === "running") return toVm(vm);
      if (vm.state === "failed") throw unavailable(`${what}: the VM did not boot; look at its console`);
      if (vm.state === "deleting") throw gone(`${what}: the VM is being deleted`);
      onProgress("waiting for the VM's address");
      await pause(this.#context.clock, POLL_MS, signal);
    }
  }

  async get(ref: VmRef, signal: AbortSignal): Promise<Vm | undefined> {
    const vm = await this.#find(ref.name, `looking for VM ${ref.name}`, signal);
    return vm && toVm(vm);
  }

  async delete(ref: VmRef, signal: AbortSignal): Promise<void> {
    const what = `deleting VM ${ref.name}`;
    for (
      let vm = await this.#find(ref.name, what, signal);
      vm;
      vm = await this.#find(ref.name, what, signal)
    ) {
      if (vm.state === "deleting") await pause(this.#context.clock, POLL_MS, signal);
      else
        await this.#patiently({ what, operation: "vms.delete" }, signal, () =>
          this.#api.delete(ref.name, signal),
        );
    }
  }

  async list(filter: ListFilter, signal: AbortSignal): Promise<readonly Vm[]> {
    const { clusterId, nodeName, names = [] } = filter;
    if (clusterId === "") throw internal("the VMs of an unknown cluster were asked for");
    const isOurs = ({ tags }: CloudVm): boolean =>
      tags[OwnerTag.Cluster] === clusterId && (nodeName === undefined || tags[OwnerTag.Node] === nodeName);
    const all = await this.#all("listing VMs", signal);
    return all.filter((vm) => isOurs(vm) || names.includes(vm.name)).map(toVm);
  }

  async close(): Promise<void> {
    // Nothing is open between calls.
  }

  async #all(what: string, signal: AbortSignal): Promise<readonly CloudVm[]> {
    return (
      (await this.#patiently({ what, operation: "vms.list" }, signal, () => this.#api.list(signal))) ?? []
    );
  }

  #find(name: string, what: string, signal: AbortSignal): Promise<CloudVm | undefined> {
    return this.#patiently({ what, operation: "vms.get" }, signal, () => this.#api.get(name, signal));
  }

  /** For calls that may be asked twice: repeated while it helps; what is gone is undefined. */
  async #patiently<T>(
    about: AboutCall,
    signal: AbortSignal,
    call: () => Promise<Answer<T>>,
  ): Promise<T | undefined> {
    const operation = (attempt: number) => this.#ask({ ...about, repeated: attempt > 1 }, signal, call);
    try {
      return await retry({ clock: this.#context.clock }, { policy: PATIENT, operation }, signal);
    } catch (error) {
      if (isCaaError(error, "gone")) return undefined;
      throw error;
    }
  }

  /** One call, told to the metrics, with its failure as one of ours. */
  async #ask<T>(
    { what, operation, repeated = false }: AboutCall,
    signal: AbortSignal,
    call: () => Promise<Answer<T>>,
  ): Promise<T | undefined> {
    if (signal.aborted) throw cancelled(`${what} was given up`);
    const { clock, onCall } = this.#context;
    let answer: Answer<T>;
    try {
      answer = await timedCall({ clock, onCall, operation, repeated }, call, (end) => {
        if (signal.aborted) return "cancelled";
        return outcomeOfStatus("value" in end ? end.value.status : 0);
      });
    } catch (cause) {
      if (signal.aborted) throw cancelled(`${what} was given up`, { cause });
      throw unavailable(`${what}: the cloud did not answer`, { cause });
    }
    if (answer.status >= 400) throw toCaaError(what, answer);
    return answer.body;
  }
}

/** The cloud's own words come first; what only a status tells is left to errorFromStatus. */
function toCaaError(what: string, { status, code, message, retryAfterMs }: Answer<unknown>): CaaError {
  const text = `${what}: ${message ?? `status ${status}`}`;
  if (code === "quota") return quotaExceeded(text);
  if (code === "capacity") return capacityExhausted(text);
  if (status === 409) return alreadyExists(text);
  return errorFromStatus(status, text, retryAfterMs === undefined ? {} : { retryAfterMs });
}

const toVm = ({ id, name, state, addresses, tags }: CloudVm): Vm => ({
  id,
  name,
  lifecycle: state === "starting" ? "creating" : state,
  addresses,
  tags,
});
