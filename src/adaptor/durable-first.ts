import type { Journal } from "../journal/index.ts";
import type { SandboxDeps } from "../sandbox/index.ts";

type Effects = Pick<SandboxDeps, "provider" | "networking" | "proxy">;

/** Calls that change something outside this process. `make`: not without the journal; `remove`: what is to go goes also when its disk fails. */
const PROVIDER = { create: "make", updateUserData: "make", delete: "remove" } as const;
const NETWORKING = { setUp: "make", tearDown: "remove" } as const;
const PROXY = {
  putSandbox: "make",
  putLink: "make",
  failLink: "remove",
  closeSandbox: "remove",
  ackStop: "make",
} as const;

/**
 * Write ahead, then act: nothing of the cloud, the kernel or the shim-proxy is touched before all that was journaled until then is
 * on the disk. Here, in one place, so that nobody can forget it.
 */
export function durableFirst(journal: Pick<Journal, "durable">, effects: Effects): Effects {
  return {
    provider: waiting(journal, effects.provider, PROVIDER),
    networking: waiting(journal, effects.networking, NETWORKING),
    proxy: waiting(journal, effects.proxy, PROXY),
  };
}

/** `target`, whose calls of these names wait first. */
function waiting<T extends object>(
  journal: Pick<Journal, "durable">,
  target: T,
  names: Partial<Readonly<Record<keyof T & string, "make" | "remove">>>,
): T {
  const kinds: ReadonlyMap<unknown, unknown> = new Map(Object.entries(names));
  return new Proxy(target, {
    get(object, key) {
      const value: unknown = Reflect.get(object, key, object);
      if (typeof value !== "function") return value;
      const kind = kinds.get(key);
      if (kind === undefined) return value.bind(object);
      return async (...args: unknown[]): Promise<unknown> => {
        const onDisk = journal.durable();
        await (kind === "make" ? onDisk : onDisk.catch(() => undefined)); // Told where a write or a make fails.
        return await Reflect.apply(value, object, args);
      };
    },
  });
}
