import { randomBytes } from "node:crypto";
import type { PodNetwork, TestNode } from "../test/node/test-node.ts";
import { dial, type PodIdentity, podAnnotations } from "../test/shim/played-shim.ts";
import type { Adaptor } from "./adaptors.ts";
import { RawClient, type RepeatedRequest } from "./raw-client.ts";

/** Pod network namespaces, made once: pods that come one after another share them, as on a node with few addresses. */
export class PodNetworks {
  readonly #node: TestNode;
  readonly #made: Map<string, PodNetwork> = new Map();

  constructor(node: TestNode) {
    this.#node = node;
  }

  /** The `n`th namespace of that adaptor. */
  get(adaptor: Adaptor, n: number): PodNetwork {
    const name = `bench-${adaptor.name}-${n}`;
    const known = this.#made.get(name) ?? this.#node.addPodNetwork(name);
    this.#made.set(name, known);
    return known;
  }
}

/** A pod, by the calls of its shim. */
export class BenchPod {
  readonly id: string = randomBytes(32).toString("hex");
  readonly #adaptor: Adaptor;
  readonly #network: PodNetwork;
  #socket = "";

  constructor(adaptor: Adaptor, network: PodNetwork) {
    this.#adaptor = adaptor;
    this.#network = network;
  }

  get identity(): PodIdentity {
    return { name: `bench-${this.id.slice(0, 8)}`, namespace: "bench" };
  }

  /** Of the agent, once created. */
  get socket(): string {
    return this.#socket;
  }

  async create(): Promise<void> {
    const annotations = podAnnotations(this.identity);
    this.#socket = await this.#adaptor.shim.createVm(this.id, annotations, this.#network.netns);
  }

  async start(): Promise<void> {
    await this.#adaptor.shim.startVm(this.id);
  }

  /** As the shim does once. */
  async connect(): Promise<RawClient> {
    return new RawClient(await dial(this.#socket));
  }

  /** From CreateVM to the agent's first answer, milliseconds. */
  async ready(check: RepeatedRequest): Promise<number> {
    const startedMs = performance.now();
    await this.create();
    await this.start();
    using client = await this.connect();
    await client.drive(check, 1, { calls: 1 });
    return performance.now() - startedMs;
  }

  async stop(): Promise<void> {
    await this.#adaptor.shim.stopVm(this.id);
  }
}
