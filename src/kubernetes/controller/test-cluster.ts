import { randomUUID } from "node:crypto";
import * as v from "valibot";
import type { Vm } from "../../../providers/contract.ts";
import { FakeClock } from "../../../test/fakes/fake-clock.ts";
import { FakeProvider } from "../../../test/fakes/fake-provider.ts";
import { applyJsonPatch, isObject, type Json } from "../../../test/fakes/kubernetes/json-patch.ts";
import { conflict, invalidRequest, notFound } from "../../errors/index.ts";
import { silentLog } from "../../platform/index.ts";
import {
  type ApiObject,
  NODE_LABEL,
  PEER_POD_FINALIZER,
  PEER_PODS,
  type Resource,
  SANDBOX_LABEL,
} from "../client/index.ts";
import type { ControllerOptions, TermDeps } from "./deps.ts";
import type { ControllerNotice } from "./notices.ts";
import { type PeerPodFacts, readPeerPod } from "./peer-pod.ts";
import { LEAN_NODES, type NodeObject } from "./resources.ts";
import type { ClusterView } from "./watched.ts";

type Api = TermDeps["client"];

/** An API server in memory, without sockets, so that a test owns all of its time; and a watch that is always up to date. */
export class TestCluster implements ClusterView {
  readonly #objects = new Map<string, Json>();
  readonly #failures: { readonly verb: string; readonly error: Error }[] = [];
  #version = 1;
  readonly calls: string[] = [];
  nodesTrouble: string | undefined;
  peerPodsTrouble: string | undefined;

  put(plural: string, metadata: Json & { readonly name: string }, rest: Json = {}): Json {
    const full = { uid: randomUUID(), resourceVersion: String(++this.#version), ...metadata };
    const object = { ...rest, metadata: full };
    this.#objects.set(keyOf(plural, metadata), object);
    return object;
  }

  remove(plural: string, name: string, namespace?: string): void {
    this.#objects.delete(keyOf(plural, { name, namespace }));
  }

  get(plural: string, name: string, namespace?: string): Json | undefined {
    return this.#objects.get(keyOf(plural, { name, namespace }));
  }

  names(plural: string): readonly string[] {
    return this.#all(plural).map((object) => String(metadataOf(object)["name"]));
  }

  failNext(verb: string, error: Error): void {
    this.#failures.push({ verb, error });
  }

  /** As kubectl delete. */
  delete(plural: string, name: string, namespace?: string): void {
    const object = this.get(plural, name, namespace);
    const metadata = metadataOf(object ?? {});
    const finalizers = metadata["finalizers"];
    if (!Array.isArray(finalizers) || finalizers.length === 0) {
      this.remove(plural, name, namespace);
      return;
    }
    this.#store(plural, { ...object, metadata: { ...metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } });
  }

  readonly client: Api = {
    find: async (resource, ref) => {
      this.#begin("find", resource.plural, ref.name);
      const object = this.get(resource.plural, ref.name, ref.namespace);
      return object === undefined ? undefined : v.parse(resource.schema, object);
    },
    list: async (resource, query) => {
      this.#begin("list", resource.plural, query.namespace ?? "");
      const [labelKey = "", label = ""] = (query.labelSelector ?? "").split("=");
      const nodeName = (query.fieldSelector ?? "").replace("spec.nodeName=", "");
      const items = this.#all(resource.plural).filter((object) => {
        const { namespace, labels } = metadataOf(object);
        const spec = object["spec"];
        return (
          (query.namespace === undefined || namespace === query.namespace) &&
          (labelKey === "" || (isObject(labels) && labels[labelKey] === label)) &&
          (nodeName === "" || (isObject(spec) && spec["nodeName"] === nodeName))
        );
      });
      return { items: items.map((object) => v.parse(resource.schema, object)), resourceVersion: "1" };
    },
    patch: async (resource, ref, patch) => {
      this.#begin("patch", resource.plural, ref.name);
      const object = this.get(resource.plural, ref.name, ref.namespace);
      if (object === undefined) throw notFound("there is none");
      if (patch.type !== "json") throw invalidRequest("not a patch that this fake knows");
      const patched = applyJsonPatch(object, [...patch.operations]);
      if (typeof patched === "string") throw invalidRequest(patched);
      return v.parse(resource.schema, this.#settle(resource.plural, patched));
    },
    delete: async (resource, ref, options) => {
      this.#begin("delete", resource.plural, ref.name);
      const object = this.get(resource.plural, ref.name, ref.namespace);
      if (object === undefined) return false;
      if (options.uid !== undefined && metadataOf(object)["uid"] !== options.uid)
        throw conflict("another UID");
      this.delete(resource.plural, ref.name, ref.namespace);
      return true;
    },
  };

  whyNodesUnknown(): string | undefined {
    return this.nodesTrouble ?? (this.#all("nodes").length === 0 ? "no node at all" : undefined);
  }

  whyPeerPodsUnknown(): string | undefined {
    return this.peerPodsTrouble;
  }

  node(name: string): NodeObject | undefined {
    return this.#read(LEAN_NODES, "nodes").find((node) => node.metadata.name === name);
  }

  peerPods(): readonly PeerPodFacts[] {
    return this.#read(PEER_PODS, "peerpods").map(readPeerPod);
  }

  #read<T extends ApiObject>(resource: Resource<T>, plural: string): readonly T[] {
    return this.#all(plural).map((object) => v.parse(resource.schema, object));
  }

  #all(plural: string): readonly Json[] {
    return [...this.#objects.entries()].filter(([key]) => key.startsWith(`${plural}/`)).map(([, one]) => one);
  }

  #begin(verb: string, plural: string, name: string): void {
    this.calls.push(`${verb} ${plural} ${name}`.trim());
    const at = this.#failures.findIndex((failure) => failure.verb === `${verb} ${plural}`);
    const [failure] = at < 0 ? [] : this.#failures.splice(at, 1);
    if (failure !== undefined) throw failure.error;
  }

  #settle(plural: string, object: Json): Json {
    const metadata = metadataOf(object);
    const finalizers = metadata["finalizers"];
    const isHeld = Array.isArray(finalizers) && finalizers.length > 0;
    if (metadata["deletionTimestamp"] === undefined || isHeld) return this.#store(plural, object);
    this.remove(plural, String(metadata["name"]), namespaceOf(metadata));
    return object;
  }

  #store(plural: string, object: Json): Json {
    const metadata = { ...metadataOf(object), resourceVersion: String(++this.#version) };
    const stored = { ...object, metadata };
    this.#objects.set(keyOf(plural, metadata), stored);
    return stored;
  }
}

const metadataOf = (object: Json): Json => (isObject(object["metadata"]) ? object["metadata"] : {});
const namespaceOf = ({ namespace }: Json): string | undefined =>
  typeof namespace === "string" ? namespace : undefined;
const keyOf = (plural: string, { name, namespace }: Json): string =>
  `${plural}/${typeof namespace === "string" ? namespace : ""}/${String(name)}`;

export const CLUSTER = "cluster-1";

/** All that a part of the controller stands on, over fakes. */
export class TestBench {
  readonly cluster: TestCluster = new TestCluster();
  readonly provider: FakeProvider = new FakeProvider();
  readonly clock: FakeClock = new FakeClock();
  readonly notices: ControllerNotice[] = [];
  readonly options: ControllerOptions;
  readonly #ending = new AbortController();
  /** Whether this process may still act as the leader. */
  isLeader = true;

  constructor(options: Partial<ControllerOptions> = {}) {
    this.options = {
      namespace: "system",
      clusterId: CLUSTER,
      runtimeClassName: "kata-remote",
      shimProxyDaemonSet: "peerpods-shim-proxy",
      replacesShimProxies: true,
      sweepIntervalMs: 300_000,
      graceMs: 600_000,
      orphanGraceMs: 3_600_000,
      budget: 10,
      isDryRun: false,
      ...options,
    };
  }

  get deps(): TermDeps {
    return {
      client: this.cluster.client,
      provider: this.provider,
      clock: this.clock,
      log: silentLog,
      observe: (notice) => this.notices.push(notice),
      options: this.options,
      term: {
        signal: this.#ending.signal,
        assertHeld: () => {
          this.#ending.signal.throwIfAborted();
          if (!this.isLeader) throw conflict("not the leader");
        },
      },
    };
  }

  end(): void {
    this.#ending.abort(new Error("the term is over"));
  }

  node(name: string, taints: readonly string[] = []): void {
    this.cluster.put(
      "nodes",
      { name },
      { spec: { taints: taints.map((key) => ({ key, effect: "NoExecute" })) } },
    );
  }

  /** A VM as an adaptor on that node makes it. */
  vm(
    node: string,
    about: { name?: string; sandbox?: string; pod?: string; namespace?: string; tags?: object } = {},
  ): Vm {
    const { sandbox = randomUUID(), pod = "web", namespace = "apps", name = `podvm-${sandbox}` } = about;
    const tags: Record<string, string> = {
      "peerpods-cluster": CLUSTER,
      "peerpods-node": node,
      "peerpods-sandbox": sandbox,
      "peerpods-namespace": namespace,
      "peerpods-pod": pod,
      ...about.tags,
    };
    const vm: Vm = { id: `id-${name}`, name, lifecycle: "running", addresses: [], tags };
    this.provider.vms.set(name, vm);
    return vm;
  }

  pod(name: string, spec: Json = {}, more: Json = {}, status: Json = {}): string {
    const object = this.cluster.put("pods", { name, namespace: "apps", ...more }, { spec, status });
    return String(metadataOf(object)["uid"]);
  }

  /** As our adaptor makes it, with a node; as the Go one, without. Its id is the VM's unless another is given. */
  peerPod(
    name: string,
    about: {
      node?: string;
      sandbox?: string;
      instanceId?: string;
      ownerUid?: string;
      created?: string;
      more?: Json;
    },
  ): void {
    const { node, sandbox, ownerUid } = about;
    const labels = {
      ...(node !== undefined && { [NODE_LABEL]: node }),
      ...(sandbox !== undefined && { [SANDBOX_LABEL]: sandbox }),
    };
    const owner = { apiVersion: "v1", kind: "Pod", name: "web", uid: ownerUid ?? "" };
    const metadata = {
      name,
      namespace: "apps",
      finalizers: ["someone/else", PEER_POD_FINALIZER],
      labels,
      creationTimestamp: about.created ?? "2026-01-01T00:00:00Z",
      ...(ownerUid !== undefined && { ownerReferences: [owner] }),
      ...about.more,
    };
    const spec = {
      cloudProvider: "fake",
      ...(about.instanceId !== undefined && { instanceID: about.instanceId }),
    };
    this.cluster.put("peerpods", metadata, { spec });
  }
}
