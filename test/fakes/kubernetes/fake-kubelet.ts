import { join } from "node:path";
import {
  type ClientReadableStream,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  status,
} from "@grpc/grpc-js";
import {
  type AllocateResponse,
  DevicePluginClient,
  type ListAndWatchResponse,
  type RegisterRequest,
  type RegistrationServer,
  RegistrationService,
} from "../../../src/gen/kubernetes/deviceplugin.ts";

interface Endpoint {
  readonly client: DevicePluginClient;
  readonly stream: ClientReadableStream<ListAndWatchResponse>;
}

/**
 * The device manager of a kubelet: takes registrations on kubelet.sock, then follows the plugin's devices on its socket. A second
 * registration of a resource replaces the first; a stream that ends makes its devices unhealthy.
 */
export class FakeKubelet {
  readonly #dir: string;
  #server: Server | undefined;
  readonly registrations: RegisterRequest[] = [];
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #health = new Map<string, readonly string[]>();
  readonly #waiting: (() => void)[] = [];
  /** Registrations that are refused from now on. */
  refuse = 0;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async start(): Promise<void> {
    const server = new Server();
    const handlers: RegistrationServer = {
      register: ({ request }, answer) => {
        if (this.refuse-- > 0) return answer({ code: status.INVALID_ARGUMENT, details: "not this version" });
        this.registrations.push(request);
        this.#follow(request);
        answer(null, {});
        this.#changed();
      },
    };
    server.addService(RegistrationService, handlers);
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(
        `unix:${join(this.#dir, "kubelet.sock")}`,
        ServerCredentials.createInsecure(),
        (error) => (error === null ? resolve() : reject(error)),
      );
    });
    this.#server = server;
  }

  /** As a kubelet that ends; its socket goes with it. */
  stop(): void {
    for (const resource of [...this.#endpoints.keys()]) this.#leave(resource);
    this.#server?.forceShutdown();
    this.#server = undefined;
    this.#health.clear();
  }

  /** How many devices the kubelet would count, and how many of them it would give to pods. */
  devices(resource: string): { readonly capacity: number; readonly allocatable: number } {
    const health = this.#health.get(resource) ?? [];
    return { capacity: health.length, allocatable: health.filter((one) => one === "Healthy").length };
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async allocate(resource: string, ids: readonly string[]): Promise<AllocateResponse> {
    const client = this.#endpoints.get(resource)?.client;
    if (client === undefined) throw new Error(`no plugin for ${resource}`);
    return await new Promise((resolve, reject) => {
      client.allocate({ containerRequests: [{ devicesIds: [...ids] }] }, (error, answer) =>
        error === null ? resolve(answer) : reject(error),
      );
    });
  }

  #follow({ endpoint, resourceName }: RegisterRequest): void {
    this.#leave(resourceName);
    const client = new DevicePluginClient(`unix:${join(this.#dir, endpoint)}`, credentials.createInsecure(), {
      "grpc.default_authority": "localhost",
    });
    const stream = client.listAndWatch({}, new Metadata());
    const own = { client, stream };
    this.#endpoints.set(resourceName, own);
    stream.on("data", ({ devices }: ListAndWatchResponse) => {
      this.#health.set(
        resourceName,
        devices.map((device) => device.health),
      );
      this.#changed();
    });
    const onEnd = (): void => {
      if (this.#endpoints.get(resourceName) !== own) return;
      this.#endpoints.delete(resourceName);
      client.close();
      this.#health.set(
        resourceName,
        (this.#health.get(resourceName) ?? []).map(() => "Unhealthy"),
      );
      this.#changed();
    };
    stream.on("error", onEnd).on("end", onEnd);
  }

  #leave(resource: string): void {
    const endpoint = this.#endpoints.get(resource);
    this.#endpoints.delete(resource);
    endpoint?.stream.cancel();
    endpoint?.client.close();
  }

  #changed(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
