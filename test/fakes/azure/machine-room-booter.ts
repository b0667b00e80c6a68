import { setTimeout as sleep } from "node:timers/promises";
import { ApiError, mockCloudClient } from "../../../providers/mock/mock-cloud/index.ts";
import type { Booter } from "./booter.ts";

const LOOK_MS = 100;

/** Runs the fake's VMs in the machine room that listens on `socket`: user data lies where the stock image looks for it. */
export function machineRoomBooter(socket: string): Booter {
  const client = mockCloudClient(socket);
  const ids = new Map<string, string>();
  return {
    async boot({ name, tags, userData, interfaces }, signal) {
      const made = await client.create({ name, tags, userData, interfaces }, signal);
      ids.set(name, made.id);
      for (;;) {
        const vm = await client.get(made.id, signal);
        if (vm.addresses.length >= interfaces && vm.lifecycle === "running") return vm.addresses;
        if (vm.lifecycle === "failed" || vm.lifecycle === "stopped") {
          throw new Error(`the machine is ${vm.lifecycle}: ${vm.detail ?? ""}`);
        }
        await sleep(LOOK_MS, undefined, { signal });
      }
    },
    async kill(name) {
      const id = ids.get(name);
      if (id === undefined) return;
      const signal = new AbortController().signal;
      try {
        await client.delete(id, signal);
        for (;;) {
          await client.get(id, signal);
          await sleep(LOOK_MS);
        }
      } catch (error) {
        if (!(error instanceof ApiError && error.kind === "not-found")) throw error;
        ids.delete(name);
      }
    },
    async setUserData(name, userData) {
      const id = ids.get(name);
      if (id !== undefined) await client.setUserData(id, userData, new AbortController().signal);
    },
  };
}
