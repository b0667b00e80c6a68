import { request } from "node:http";
import * as v from "valibot";
import { sleep } from "./processes.ts";

/** A pod VM as its cloud sees it. */
export interface RoomVm {
  readonly id: string;
  readonly name: string;
  readonly addresses: readonly string[];
}

const Vm: v.GenericSchema<unknown, RoomVm> = v.object({
  id: v.string(),
  name: v.string(),
  addresses: v.array(v.string()),
});
const Page: v.GenericSchema<unknown, { readonly vms: readonly RoomVm[] }> = v.object({ vms: v.array(Vm) });

const ADDRESS_POLL_MS = 3;

/** The machine room's API, as far as the bench needs it. */
export class RoomApi {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  async vms(): Promise<readonly RoomVm[]> {
    return v.parse(Page, await this.#call("GET", "/v1/vms")).vms;
  }

  /** Makes a VM and waits for its address. */
  async create(name: string, userData: string): Promise<RoomVm> {
    let vm = v.parse(Vm, await this.#call("POST", "/v1/vms", { name, tags: {}, userData }));
    while (vm.addresses.length === 0) {
      await sleep(ADDRESS_POLL_MS);
      vm = v.parse(Vm, await this.#call("GET", `/v1/vms/${vm.id}`));
    }
    return vm;
  }

  async remove(id: string): Promise<void> {
    await this.#call("DELETE", `/v1/vms/${id}`);
  }

  #call(method: string, path: string, body?: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const headers = { "content-type": "application/json" };
      const outgoing = request({ socketPath: this.#socket, method, path, headers }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () => {
          const text = Buffer.concat(chunks).toString();
          if ((answer.statusCode ?? 500) >= 300) reject(new Error(`${method} ${path}: ${text}`));
          else resolve(text === "" ? {} : JSON.parse(text));
        });
      });
      outgoing.on("error", reject);
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}
