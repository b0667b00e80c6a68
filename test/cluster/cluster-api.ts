import { randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import {
  ApiException,
  CoreV1Api,
  DiscoveryV1Api,
  type KubeConfig,
  type KubernetesObject,
  KubernetesObjectApi,
  Watch,
} from "@kubernetes/client-node";
import * as v from "valibot";
import { until } from "../real/service.ts";
import { kubeconfigText } from "./kubeconfig.ts";

/** A service account, and the pod that its token is bound to as in that pod: such a token names the pod's node. */
export interface Identity {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod?: string;
}

/** A request as the API server has recorded it. */
export interface RecordedRequest {
  readonly verb: string;
  readonly uri: string;
  /** HTTP status of the answer. */
  readonly status: number;
}

interface Surroundings {
  readonly config: KubeConfig;
  readonly url: string;
  readonly caFile: string;
  readonly dir: string;
  readonly hasControllers: boolean;
  /** Tokens of the nodes' own users. */
  readonly nodeTokens: ReadonlyMap<string, string>;
}

const AuditEvent = v.object({
  stage: v.string(),
  verb: v.string(),
  requestURI: v.string(),
  user: v.object({ username: v.optional(v.string(), "") }),
  responseStatus: v.optional(v.object({ code: v.optional(v.number(), 0) }), { code: 0 }),
});

const WATCH_TIMEOUT_MS = 60_000;
const ADMISSION_TIMEOUT_MS = 60_000;
const MAX_BRIEF_LETTERS = 2000;

/** Whether an error is an answer of the API with this HTTP status. */
export const hasStatus = (error: unknown, status: number): boolean =>
  error instanceof ApiException && error.code === status;

/** An object in few enough words for the message of an error. */
function brief(object: KubernetesObject | undefined): string {
  const text = JSON.stringify(object, (key, value: unknown) => (key === "managedFields" ? undefined : value));
  return text === undefined ? "nothing" : text.slice(0, MAX_BRIEF_LETTERS);
}

/** The control plane, asked as its administrator. */
export class ClusterApi {
  readonly config: KubeConfig;
  readonly core: CoreV1Api;
  /** Any kind of object. */
  readonly objects: KubernetesObjectApi;
  readonly #at: Surroundings;

  constructor(at: Surroundings) {
    this.#at = at;
    this.config = at.config;
    this.core = at.config.makeApiClient(CoreV1Api);
    this.objects = KubernetesObjectApi.makeApiClient(at.config);
  }

  /**
   * Makes a namespace of this name and some random letters, in which pods may be created: with its service account `default`.
   * Resolves to its whole name. There is no need to delete it.
   */
  async createNamespace(prefix: string, labels: Readonly<Record<string, string>> = {}): Promise<string> {
    const name = `${prefix}-${randomUUID().slice(0, 8)}`;
    await this.core.createNamespace({ body: { metadata: { name, labels } } });
    if (this.#at.hasControllers) {
      await this.waitFor(
        `/api/v1/namespaces/${name}/serviceaccounts`,
        (account) => account.metadata?.name === "default",
      );
    } else {
      await this.core.createNamespacedServiceAccount({
        namespace: name,
        body: { metadata: { name: "default" } },
      });
    }
    return name;
  }

  /** Creates objects in this order. Disposing deletes them in the reverse order; what is gone by then is no error. */
  async create(objects: readonly KubernetesObject[]): Promise<AsyncDisposable> {
    await using undo = new AsyncDisposableStack();
    for (const object of objects) {
      const created = await this.objects.create(object);
      undo.defer(async () => {
        await this.objects.delete(created).catch((error: unknown) => {
          if (!hasStatus(error, 404)) throw error;
        });
      });
    }
    return undo.move();
  }

  /** A token of a service account that exists, as its pods get it. */
  async token(identity: Identity, audiences: readonly string[] = []): Promise<string> {
    const { namespace, serviceAccount, pod } = identity;
    const bound = pod === undefined ? undefined : await this.core.readNamespacedPod({ namespace, name: pod });
    const uid = bound?.metadata?.uid;
    const answer = await this.core.createNamespacedServiceAccountToken({
      namespace,
      name: serviceAccount,
      body: {
        spec: {
          audiences: [...audiences],
          ...(pod !== undefined && uid !== undefined
            ? { boundObjectRef: { apiVersion: "v1", kind: "Pod", name: pod, uid } }
            : {}),
        },
      },
    });
    const token = answer.status?.token;
    if (token === undefined) throw new Error(`no token for ${namespace}/${serviceAccount}`);
    return token;
  }

  /** A kubeconfig file with which a program is this service account. */
  async kubeconfigOf(identity: Identity): Promise<string> {
    return await this.#kubeconfig(await this.token(identity));
  }

  /** A kubeconfig file of a node's kubelet: the user system:node:<name>. The nodes are those of NODE_NAMES. */
  async kubeconfigOfNode(node: string): Promise<string> {
    const token = this.#at.nodeTokens.get(node);
    if (token === undefined) throw new Error(`no token for node ${node}: it is not one of NODE_NAMES`);
    return await this.#kubeconfig(token);
  }

  async #kubeconfig(token: string): Promise<string> {
    const file = join(this.#at.dir, `${randomUUID()}.kubeconfig`);
    const { url, caFile } = this.#at;
    await writeFile(file, kubeconfigText({ url, caFile, token }), { mode: 0o600 });
    return file;
  }

  /**
   * Watches a collection, like `/api/v1/nodes`, until `predicate` holds for one of its objects, those that are there already
   * included. Resolves to that object. `query` may hold a fieldSelector or labelSelector.
   */
  async waitFor<T extends KubernetesObject = KubernetesObject>(
    collection: string,
    predicate: (object: T, change: string) => boolean,
    query: Readonly<Record<string, string>> = {},
    timeoutMs: number = WATCH_TIMEOUT_MS,
  ): Promise<T> {
    const found = Promise.withResolvers<T>();
    found.promise.catch(() => undefined); // It is awaited below, perhaps later than it rejects.
    let last: T | undefined;
    const onChange = (change: string, object: T): void => {
      last = object;
      if (predicate(object, change)) found.resolve(object);
    };
    let isOver = false;
    const timer = setTimeout(() => {
      const wait = `not seen in ${collection} for ${timeoutMs / 1000} s`;
      found.reject(new Error(`${wait}; last seen: ${brief(last)}`));
    }, timeoutMs);
    let watch: AbortController | undefined;
    try {
      while (!isOver) {
        // The library ends a watch in which nothing has happened for 30 s; the next one goes on after the last change.
        const ended = Promise.withResolvers<void>();
        const from = { ...query, resourceVersion: last?.metadata?.resourceVersion };
        watch = await new Watch(this.config).watch(collection, from, onChange, () => ended.resolve());
        isOver = await Promise.race([found.promise.then(() => true), ended.promise.then(() => false)]);
      }
      return await found.promise;
    } finally {
      clearTimeout(timer);
      watch?.abort();
    }
  }

  /**
   * Tries to create an object, without doing it, until the outcome is as wanted: the object as admission leaves it, or the error.
   * A webhook or a policy takes effect some time after it was created.
   */
  async waitForAdmission(
    object: KubernetesObject,
    wanted: (outcome: { readonly object?: KubernetesObject; readonly error?: unknown }) => boolean,
  ): Promise<void> {
    await until(`the admission of a ${object.kind} as wanted`, ADMISSION_TIMEOUT_MS, async () => {
      const outcome = await this.objects.create(object, undefined, "All").then(
        (created) => ({ object: created }),
        (error: unknown) => ({ error }),
      );
      return wanted(outcome);
    });
  }

  /** What a user has asked for until now, of the audit log: `system:serviceaccount:<namespace>:<name>`, `system:node:<name>`, `admin`. */
  async requestsOf(user: string): Promise<readonly RecordedRequest[]> {
    const text = await readFile(join(this.#at.dir, "audit.log"), "utf8");
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => v.parse(AuditEvent, JSON.parse(line)))
      .filter((event) => event.user.username === user && event.stage !== "ResponseStarted")
      .map((event) => ({ verb: event.verb, uri: event.requestURI, status: event.responseStatus.code }));
  }

  /**
   * Lets the API server reach a port of this machine as a Service, for a webhook that is configured by one: makes the Service `name`
   * without a selector, with port 443, and its endpoint. What listens must do so on `endpointAddress()`.
   */
  async routeService(namespace: string, name: string, port: number): Promise<void> {
    await this.core.createNamespacedService({
      namespace,
      body: { metadata: { name }, spec: { ports: [{ name: "https", port: 443, targetPort: port }] } },
    });
    await this.config.makeApiClient(DiscoveryV1Api).createNamespacedEndpointSlice({
      namespace,
      body: {
        metadata: { name, labels: { "kubernetes.io/service-name": name } },
        addressType: "IPv4",
        endpoints: [{ addresses: [endpointAddress()], conditions: { ready: true } }],
        ports: [{ name: "https", port, protocol: "TCP" }],
      },
    });
  }
}

/** An address of this machine that may be an endpoint: loopback may not. */
export function endpointAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const found = addresses.find(
    ({ family, internal, address }) => family === "IPv4" && !internal && !address.startsWith("169.254."),
  );
  if (found === undefined) throw new Error("this machine has no IPv4 address besides loopback");
  return found.address;
}
