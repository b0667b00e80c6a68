import { eagerClock } from "../../../test/fakes/eager-clock.ts";
import { FakeApi, type FakeApiServer, serveFakeApi } from "../../../test/fakes/kubernetes/index.ts";
import { silentLog } from "../../platform/index.ts";
import { ClusterClient } from "../client/index.ts";

/** A client of an API server in memory, and what runs against it, ended together. */
export class TestCluster implements AsyncDisposable {
  readonly api: FakeApi;
  readonly server: FakeApiServer;
  readonly client: ClusterClient;
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>[] = [];

  private constructor(api: FakeApi, server: FakeApiServer, client: ClusterClient) {
    this.api = api;
    this.server = server;
    this.client = client;
  }

  static async start(): Promise<TestCluster> {
    const api = new FakeApi();
    const server = await serveFakeApi(api);
    const deps = { clock: eagerClock, log: silentLog, userAgent: "test" };
    return new TestCluster(api, server, await ClusterClient.open(deps, server.access));
  }

  run(part: { run(signal: AbortSignal): Promise<void> }): void {
    this.#running.push(part.run(this.#stop.signal));
  }

  /** Ends what runs, as the process's end would. */
  async end(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.api.changed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    this.client[Symbol.dispose]();
    await this.server[Symbol.asyncDispose]();
  }
}
