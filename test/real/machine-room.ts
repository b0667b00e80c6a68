import { request } from "node:http";
import * as v from "valibot";

/** A pod VM as its cloud sees it. */
export interface CloudVm {
  readonly id: string;
  readonly name: string;
  readonly lifecycle: string;
  readonly addresses: readonly string[];
}

const Page: v.GenericSchema<unknown, { readonly vms: readonly CloudVm[] }> = v.object({
  vms: v.array(
    v.object({ id: v.string(), name: v.string(), lifecycle: v.string(), addresses: v.array(v.string()) }),
  ),
});
const Console: v.GenericSchema<unknown, { readonly text: string }> = v.object({ text: v.string() });

/** The machine room's API, asked from outside of the adaptor: what the cloud really has. */
export class MachineRoom {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  /** VMs that exist, those being deleted included. */
  async vms(): Promise<readonly CloudVm[]> {
    return v.parse(Page, await this.#call("GET", "/v1/vms")).vms;
  }

  async console(id: string): Promise<string> {
    return v.parse(Console, await this.#call("GET", `/v1/vms/${id}/console`)).text;
  }

  /** Time from a create to the VM's first process, for the next creates. */
  async setBootDelay(bootDelayMs: number): Promise<void> {
    await this.#call("PATCH", "/v1/settings", { bootDelayMs });
  }

  /** Power cut. */
  async kill(id: string): Promise<void> {
    await this.#call("POST", `/v1/vms/${id}/actions`, { action: "kill" });
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
          else resolve(JSON.parse(text));
        });
      });
      outgoing.on("error", reject);
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}
