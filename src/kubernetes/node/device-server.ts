import { Server, ServerCredentials, type ServerWritableStream } from "@grpc/grpc-js";
import { unavailable } from "../../errors/index.ts";
import {
  type Device,
  type DevicePluginServer,
  DevicePluginService,
  type Empty,
  type ListAndWatchResponse,
} from "../../gen/kubernetes/deviceplugin.ts";

type Watcher = ServerWritableStream<Empty, ListAndWatchResponse>;

/** The kubelet's side of a device plugin, on a socket of its own: devices without files, mounts or variables. */
export class DeviceServer {
  readonly #server: Server;
  readonly #watchers = new Set<Watcher>();
  #devices: readonly Device[];

  private constructor(server: Server, devices: readonly Device[]) {
    this.#server = server;
    this.#devices = devices;
  }

  /** Throws `unavailable` when the socket cannot be made. */
  static async listen(path: string, devices: readonly Device[]): Promise<DeviceServer> {
    const server = new Server();
    const all = new DeviceServer(server, devices);
    server.addService(DevicePluginService, all.#handlers());
    try {
      await new Promise<void>((resolve, reject) => {
        server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
          error === null ? resolve() : reject(error),
        );
      });
    } catch (cause) {
      server.forceShutdown();
      throw unavailable(`device plugin socket ${path} cannot be made; is the folder mounted?`, { cause });
    }
    return all;
  }

  /** Whether the kubelet is listening to us. */
  get isWatched(): boolean {
    return this.#watchers.size > 0;
  }

  /** Told to the kubelet when they are others than before. */
  set devices(devices: readonly Device[]) {
    const isSame = JSON.stringify(devices) === JSON.stringify(this.#devices);
    this.#devices = devices;
    if (isSame) return;
    for (const watcher of this.#watchers) watcher.write({ devices: [...devices] });
  }

  /** The kubelet then counts the devices as unhealthy, unless another plugin has registered. */
  close(): void {
    for (const watcher of this.#watchers) watcher.end();
    this.#server.forceShutdown();
  }

  #handlers(): DevicePluginServer {
    return {
      getDevicePluginOptions: (_call, answer) =>
        answer(null, { preStartRequired: false, getPreferredAllocationAvailable: false }),
      listAndWatch: (call) => {
        this.#watchers.add(call);
        const forget = (): void => void this.#watchers.delete(call);
        call.on("cancelled", forget).on("close", forget).on("error", forget);
        call.write({ devices: [...this.#devices] });
      },
      allocate: ({ request }, answer) =>
        answer(null, { containerResponses: request.containerRequests.map(() => ({})) }),
    };
  }
}
