import { isCaaError, unavailable } from "../../errors/index.ts";
import type { Clock, Log } from "../../platform/index.ts";
import {
  type ClusterClient,
  follow,
  type JsonPatchOperation,
  NODES,
  type Node,
  PODS,
  ReconcileLoop,
} from "../client/index.ts";
import {
  jsonPointer,
  LIMIT_KEY,
  limitOf,
  OWNER_ANNOTATION,
  planCapacity,
  VM_RESOURCE,
} from "./capacity-plan.ts";

export interface CapacityDeps {
  readonly client: ClusterClient;
  readonly clock: Clock;
  readonly log: Log;
}

export interface CapacityOptions {
  readonly nodeName: string;
  /** Of our own pod. `uid` "": not in a pod, and nobody to overlap with. `name` "": not known. */
  readonly pod: { readonly uid: string; readonly namespace: string; readonly name: string };
  /** Of the configuration now; negative: nothing is advertised. */
  readonly limit: () => number;
  /** Told the Node's own limit when it is first read and when it changes; undefined: it has none. */
  readonly onNodeLimit: (limit: number | undefined) => void;
}

const CAPACITY_PATH = jsonPointer("status", "capacity", VM_RESOURCE);
const OWNER_PATH = jsonPointer("metadata", "annotations", OWNER_ANNOTATION);

/** How long a successor may take to write its name, before an adaptor that ends takes the capacity away. */
const SUCCESSOR_LOOKS = 10;
const SUCCESSOR_PAUSE_MS = 500;

/**
 * The extended resource `kata.peerpods.io/vm` of the own Node, advertised while this process owns the node's lock, and put back when
 * the kubelet or somebody else changes it. Another instance that writes its owner annotation after us has it from then on.
 */
export class NodeCapacity {
  readonly #deps: CapacityDeps;
  readonly #options: CapacityOptions;
  readonly #loop: ReconcileLoop;
  #node: Node | undefined;
  #nodeLimit: number | undefined;
  #hasReadLimit = false;
  #invalidLimit = "";
  #claimed = false;
  #isForeign = false;

  constructor(deps: CapacityDeps, options: CapacityOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#loop = new ReconcileLoop(deps, `capacity ${VM_RESOURCE} of node ${options.nodeName}`, (signal) =>
      this.#reconcile(signal),
    );
  }

  /** Why the capacity is not what it should be. */
  get trouble(): string | undefined {
    return this.#loop.trouble;
  }

  /** The limit of the configuration has changed. */
  refresh(): void {
    this.#loop.poke();
  }

  /** Until the signal aborts; never rejects. What was advertised stays: `withdraw` takes it away. */
  async run(signal: AbortSignal): Promise<void> {
    const { nodeName } = this.#options;
    const query = { fieldSelector: `metadata.name=${nodeName}` };
    const handler = {
      put: (node: Node): void => {
        this.#node = node;
        this.#readNodeLimit(node);
        this.#loop.poke();
      },
      removed: (): void => {
        this.#node = undefined;
      },
    };
    await Promise.all([
      follow(this.#deps, { resource: NODES, query }, handler, signal),
      this.#loop.run(signal),
    ]);
  }

  async #reconcile(signal: AbortSignal): Promise<undefined> {
    for (let node = this.#node; node !== undefined; node = this.#node) {
      const plan = planCapacity(node, {
        podUid: this.#options.pod.uid,
        limit: this.#nodeLimit ?? this.#options.limit(),
        claimed: this.#claimed,
      });
      if (plan.step === "none") {
        await this.#noteForeign(plan.reason === "foreign", signal);
        return;
      }
      const changed =
        plan.step === "claim" ? await this.#claim(signal) : await this.#advertise(plan.value, signal);
      // What the watch has told meanwhile may be newer; the next turn sees it again in any case.
      if (this.#node === node) this.#node = changed;
    }
  }

  async #claim(signal: AbortSignal): Promise<Node> {
    const { nodeName, pod } = this.#options;
    const value = { metadata: { annotations: { [OWNER_ANNOTATION]: pod.uid } } };
    const node = await this.#deps.client.patch(NODES, { name: nodeName }, { type: "merge", value }, signal);
    this.#claimed = true;
    return node;
  }

  async #advertise(value: string, signal: AbortSignal): Promise<Node> {
    const before = this.#node?.status?.capacity?.[VM_RESOURCE] ?? "none";
    try {
      const node = await this.#patchStatus({ op: "add", path: CAPACITY_PATH, value }, signal);
      this.#deps.log.info("capacity is advertised", { resource: VM_RESOURCE, before, now: value });
      return node;
    } catch (error) {
      if (!isCaaError(error, "invalid-request")) throw error;
      // Not ours any more, or the kubelet has not filled in its status yet: both show in the object.
      const node = await this.#deps.client.get(NODES, { name: this.#options.nodeName }, signal);
      if (this.#isOurs(node)) throw error;
      return node;
    }
  }

  /** Takes effect only while the owner annotation is ours: the API server checks both in one step. */
  async #patchStatus(operation: JsonPatchOperation, signal: AbortSignal): Promise<Node> {
    const { nodeName, pod } = this.#options;
    const test = { op: "test", path: OWNER_PATH, value: pod.uid } as const;
    const operations = pod.uid === "" ? [operation] : [test, operation];
    const ref = { name: nodeName, subresource: "status" } as const;
    return await this.#deps.client.patch(NODES, ref, { type: "json", operations }, signal);
  }

  #isOurs(node: Node): boolean {
    const { uid } = this.#options.pod;
    return uid === "" || node.metadata.annotations?.[OWNER_ANNOTATION] === uid;
  }

  async #noteForeign(isForeign: boolean, signal: AbortSignal): Promise<void> {
    if (isForeign && !this.#isForeign) {
      // The watch may tell of a state from before our claim.
      const node = await this.#deps.client.get(NODES, { name: this.#options.nodeName }, signal);
      if (this.#isOurs(node)) return;
      this.#deps.log.warn(
        `another adaptor has taken over capacity ${VM_RESOURCE} of this node; this one leaves it alone from now on`,
        { owner: node.metadata.annotations?.[OWNER_ANNOTATION] },
      );
    }
    this.#isForeign = isForeign;
  }

  #readNodeLimit(node: Node): void {
    const limit = limitOf(node);
    const invalid = typeof limit === "object" ? limit.invalid : "";
    if (invalid !== this.#invalidLimit && invalid !== "") {
      this.#deps.log.warn(
        `${LIMIT_KEY} of node ${node.metadata.name} is ${JSON.stringify(invalid)}, which is no whole number; PEERPODS_LIMIT_PER_NODE counts`,
      );
    }
    this.#invalidLimit = invalid;
    const next = typeof limit === "number" ? limit : undefined;
    if (next === this.#nodeLimit && this.#hasReadLimit) return;
    this.#hasReadLimit = true;
    this.#nodeLimit = next;
    this.#options.onNodeLimit(next);
  }

  /**
   * For the orderly end, after the lock was given back: takes the capacity away unless somebody goes on with it. An instance that
   * stood by writes its name within moments and keeps the capacity; a container that is only restarted keeps it too. Throws what
   * the API server says; the capacity then stays, and the next adaptor of this node sets it.
   */
  async withdraw(signal: AbortSignal): Promise<"withdrawn" | "kept"> {
    const { client, clock, log } = this.#deps;
    const { nodeName, pod } = this.#options;
    if (!this.#claimed && pod.uid !== "") return "kept";
    if (!(await this.#isPodGoing(signal))) return "kept";
    for (let look = 0; look < SUCCESSOR_LOOKS; look++) {
      const node = await client.find(NODES, { name: nodeName }, signal);
      if (node === undefined || !this.#isOurs(node)) return "kept";
      if (node.status?.capacity?.[VM_RESOURCE] === undefined) return "withdrawn";
      if (pod.uid === "") break;
      await clock.sleep(SUCCESSOR_PAUSE_MS, signal);
    }
    try {
      await this.#patchStatus({ op: "remove", path: CAPACITY_PATH }, signal);
    } catch (error) {
      if (!isCaaError(error, "invalid-request")) throw error;
      return await this.#afterRefusedRemoval(signal);
    }
    log.info("capacity is withdrawn", { resource: VM_RESOURCE });
    return "withdrawn";
  }

  /** The test failed, or there was nothing to remove. */
  async #afterRefusedRemoval(signal: AbortSignal): Promise<"withdrawn" | "kept"> {
    const node = await this.#deps.client.find(NODES, { name: this.#options.nodeName }, signal);
    if (node === undefined || !this.#isOurs(node)) return "kept";
    if (node.status?.capacity?.[VM_RESOURCE] === undefined) return "withdrawn";
    throw unavailable(`capacity ${VM_RESOURCE} of node ${this.#options.nodeName} could not be removed`);
  }

  /** False when only the container is restarted, as after a failed probe: the pod is not being deleted. */
  async #isPodGoing(signal: AbortSignal): Promise<boolean> {
    const { pod } = this.#options;
    if (pod.name === "" || pod.uid === "") return true;
    const found = await this.#deps.client.find(PODS, pod, signal);
    return (
      found === undefined || found.metadata.uid !== pod.uid || found.metadata.deletionTimestamp !== undefined
    );
  }
}
