import type { LinkStatus, ProxySnapshot, ShimProxyEvent } from "../shim-proxy/index.ts";

/** What the shim-proxy has told of the links to VMs: the newest state of each. */
export class Links {
  readonly #states = new Map<string, LinkStatus>();

  /** A new attachment tells all there is. */
  reset(snapshot: ProxySnapshot): void {
    this.#states.clear();
    for (const { id, link } of snapshot.sandboxes) if (link !== undefined) this.#states.set(id, link);
  }

  see(event: ShimProxyEvent): void {
    if (event.kind !== "link") return;
    const { sandboxId, state, reason, breaks } = event;
    this.#states.set(sandboxId, { state, reason, breaks });
  }

  /** Forgets all but these sandboxes. */
  keep(ids: ReadonlySet<string>): void {
    for (const id of this.#states.keys()) if (!ids.has(id)) this.#states.delete(id);
  }

  get(sandboxId: string): LinkStatus | undefined {
    return this.#states.get(sandboxId);
  }

  /** The VM's agent answers: there is a VM. */
  isUp(sandboxId: string): boolean {
    return this.#states.get(sandboxId)?.state === "up";
  }
}
