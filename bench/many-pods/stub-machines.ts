import { once } from "node:events";
import type { Socket } from "node:net";
import { createServer, type Server } from "node:tls";
import { type ForwarderConfig, parseForwarderConfig } from "../../providers/mock/guest/apf-config.ts";
import { tlsServerOptions } from "../../providers/mock/guest/tls-profile.ts";
import { parseCloudConfig } from "../../providers/mock/guest/user-data.ts";
import type { AddressPool } from "../../providers/mock/mock-cloud/addresses.ts";
import type { Machine, MachineSpec, Machines } from "../../providers/mock/mock-cloud/machines.ts";
import { internal, unsupported } from "../../src/errors/index.ts";
import type { Secret } from "../../src/platform/index.ts";
import type { TtrpcServer } from "../../src/ttrpc/index.ts";

const FORWARDER_PORT = 15150;
const APF_PATH = "/run/peerpod/apf.json";

export interface StubMachinesDeps {
  readonly pool: AddressPool;
  /** Answers for all VMs. */
  readonly agent: TtrpcServer;
  /** Whether the adaptor is to make no tunnels. */
  readonly rootless: boolean;
}

/**
 * VMs that are no more than an address of this process: at the forwarder's port of each, a TLS server with the identity of the VM's own user
 * data, and behind it one stub agent for all. Every address of the pool must be one of this process's network namespace.
 */
export function stubMachines(deps: StubMachinesDeps): Machines {
  const alive = new Set<StubMachine>();
  return {
    rootless: deps.rootless,
    open: async () => undefined,
    prepare: (spec) => {
      const machine = new StubMachine(deps, spec, () => alive.delete(machine));
      alive.add(machine);
      return machine;
    },
    inventory: async () => [...alive].flatMap((machine) => machine.addresses.map((one) => `address ${one}`)),
    close: async () => undefined,
  };
}

function forwarderConfig(userData: Secret): ForwarderConfig {
  const file = parseCloudConfig(userData.reveal()).find(({ path }) => path === APF_PATH);
  if (file === undefined) throw internal(`the user data of a VM has no ${APF_PATH}`);
  return parseForwarderConfig(file.content);
}

class StubMachine implements Machine {
  readonly exited: Promise<string>;
  readonly #deps: StubMachinesDeps;
  readonly #spec: MachineSpec;
  readonly #onGone: () => void;
  readonly #sockets = new Set<Socket>();
  #setExited: (text: string) => void = () => undefined;
  #addresses: readonly string[] = [];
  #server: Server | undefined;

  constructor(deps: StubMachinesDeps, spec: MachineSpec, onGone: () => void) {
    this.#deps = deps;
    this.#spec = spec;
    this.#onGone = onGone;
    this.exited = new Promise((resolve) => {
      this.#setExited = resolve;
    });
  }

  get addresses(): readonly string[] {
    return this.#addresses;
  }

  async boot(): Promise<void> {
    const { agent, pool } = this.#deps;
    const server = createServer(
      await tlsServerOptions(forwarderConfig(this.#spec.userData), ""),
      (socket) => {
        socket.setNoDelay(true);
        agent.serveConnection(socket);
      },
    );
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    server.on("tlsClientError", () => undefined); // Its client sees it.
    this.#server = server;
    this.#addresses = Array.from({ length: this.#spec.interfaces }, () => pool.take());
    server.listen(FORWARDER_PORT, this.#addresses[0]);
    await once(server, "listening");
  }

  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = once(server, "close");
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    this.#setExited("ended by kill");
  }

  async freeze(): Promise<void> {
    throw unsupported("a stub VM cannot be frozen");
  }

  async setUserData(): Promise<void> {
    throw unsupported("a stub VM reads its user data once");
  }

  async breakLink(): Promise<void> {
    throw unsupported("the link of a stub VM cannot be broken");
  }

  async destroy(): Promise<void> {
    await this.kill();
    for (const address of this.#addresses) this.#deps.pool.release(address);
    this.#addresses = [];
    this.#onGone();
  }
}
