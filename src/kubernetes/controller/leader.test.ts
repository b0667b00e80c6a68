import { beforeEach, describe, expect, test } from "vitest";
import { FakeClock, settle } from "../../../test/fakes/fake-clock.ts";
import { alreadyExists, conflict, unavailable } from "../../errors/index.ts";
import { silentLog } from "../../platform/index.ts";
import type { Draft, Lease } from "../client/index.ts";
import { Leadership, type Term } from "./leader.ts";

/** One Lease in memory, with the API server's optimistic locking. */
class LeaseStore {
  lease: Lease | undefined;
  isDown = false;
  writes = 0;
  #version = 0;

  #store(metadata: { readonly name: string }, spec: Lease["spec"]): Lease {
    this.writes++;
    const full = { uid: "u", ...metadata, resourceVersion: String(++this.#version) };
    this.lease = { metadata: full, ...(spec !== undefined && { spec }) };
    return this.lease;
  }

  #mustAnswer(): void {
    if (this.isDown) throw unavailable("no answer");
  }

  find = async (): Promise<Lease | undefined> => {
    this.#mustAnswer();
    return this.lease;
  };

  create = async (_: unknown, draft: Draft): Promise<Lease> => {
    this.#mustAnswer();
    if (this.lease !== undefined) throw alreadyExists("there is one");
    return this.#store({ name: "lease" }, Object(draft).spec);
  };

  replace = async (_: unknown, object: Lease): Promise<Lease> => {
    this.#mustAnswer();
    if (object.metadata.resourceVersion !== this.lease?.metadata.resourceVersion) throw conflict("changed");
    return this.#store(object.metadata, object.spec);
  };
}

/** One process that wants to lead. */
class Candidate {
  readonly clock: FakeClock;
  readonly ending: AbortController = new AbortController();
  readonly terms: Term[] = [];
  readonly changes: boolean[] = [];
  readonly done: Promise<void>;

  constructor(store: LeaseStore, identity: string, clock: FakeClock) {
    this.clock = clock;
    const client: ConstructorParameters<typeof Leadership>[0]["client"] = Object(store);
    const deps = { client, clock, log: silentLog, namespace: "system", identity };
    const leadership = new Leadership(deps, (isLeader) => this.changes.push(isLeader));
    this.done = leadership.run((term) => this.#work(term), this.ending.signal);
  }

  async #work(term: Term): Promise<void> {
    this.terms.push(term);
    await new Promise<void>((resolve) =>
      term.signal.addEventListener("abort", () => resolve(), { once: true }),
    );
  }

  get leads(): boolean {
    return this.changes.at(-1) === true;
  }

  mayAct(): boolean {
    try {
      this.terms.at(-1)?.assertHeld();
      return this.terms.length > 0;
    } catch {
      return false;
    }
  }

  async end(): Promise<void> {
    this.ending.abort(new Error("ended"));
    await this.done;
  }
}

let store: LeaseStore;
let clock: FakeClock;

beforeEach(() => {
  store = new LeaseStore();
  clock = new FakeClock();
});

test("the first takes the lease and renews it, the second stands by", async () => {
  const a = new Candidate(store, "a", clock);
  await clock.advance(0);
  const b = new Candidate(store, "b", clock);
  await clock.advance(60_000);
  expect([a.leads, b.leads]).toEqual([true, false]);
  expect(store.lease?.spec).toMatchObject({
    holderIdentity: "a",
    leaseDurationSeconds: 15,
    leaseTransitions: 0,
  });
  expect(store.lease?.spec?.renewTime).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  expect(store.writes).toBeGreaterThan(20);
  await Promise.all([a.end(), b.end()]);
});

test("a leader that ends gives the lease back, and the next need not wait", async () => {
  const a = new Candidate(store, "a", clock);
  await clock.advance(0);
  const b = new Candidate(store, "b", clock);
  await clock.advance(10_000);
  await a.end();
  expect(store.lease?.spec?.holderIdentity).toBeUndefined();
  await clock.advance(3000);
  expect(b.leads).toBe(true);
  expect(store.lease?.spec).toMatchObject({ holderIdentity: "b", leaseTransitions: 1 });
  await b.end();
});

test("a lease that a dead process left is taken after its duration by our own clock, whatever its times say", async () => {
  await store.create(undefined, {
    metadata: { name: "lease" },
    spec: { holderIdentity: "dead", leaseDurationSeconds: 20, renewTime: "2099-01-01T00:00:00.000000Z" },
  });
  const a = new Candidate(store, "a", clock);
  await clock.advance(19_000);
  expect(a.leads).toBe(false);
  await clock.advance(5000);
  expect(a.leads).toBe(true);
  await a.end();
});

test("a Go controller's lease without any field is free", async () => {
  await store.create(undefined, { metadata: { name: "lease" } });
  const a = new Candidate(store, "a", clock);
  await clock.advance(0);
  expect(a.leads).toBe(true);
  await a.end();
});

describe("a leader that cannot renew", () => {
  test("stops acting before another may begin", async () => {
    const a = new Candidate(store, "a", clock);
    await clock.advance(0);
    // The API server answers b but not a.
    const cut = new LeaseStore();
    const own = { find: store.find, create: store.create, replace: store.replace };
    cut.find = own.find;
    cut.create = own.create;
    cut.replace = own.replace;
    store.replace = () => Promise.reject(unavailable("no answer"));
    store.find = () => Promise.reject(unavailable("no answer"));
    const b = new Candidate(cut, "b", clock);
    let both = 0;
    for (let second = 0; second < 40; second++) {
      await clock.advance(1000);
      if (a.mayAct() && b.mayAct()) both++;
    }
    expect(both).toBe(0);
    expect(a.leads).toBe(false);
    expect(b.leads).toBe(true);
    await Promise.all([a.end(), b.end()]);
  });

  test("aborts its work, and leads again when the API server is back", async () => {
    const a = new Candidate(store, "a", clock);
    await clock.advance(0);
    store.isDown = true;
    await clock.advance(9000);
    expect(a.leads).toBe(true);
    await clock.advance(4000);
    expect(a.leads).toBe(false);
    expect(a.terms[0]?.signal.aborted).toBe(true);
    store.isDown = false;
    await clock.advance(5000);
    expect(a.leads).toBe(true);
    expect(a.terms).toHaveLength(2);
    await a.end();
  });

  test("and whose process was paused may not act, though nothing has told it yet", async () => {
    const paused = new FakeClock();
    const a = new Candidate(store, "a", paused);
    await paused.advance(0);
    expect(a.mayAct()).toBe(true);
    // Its timers have not run, its clock has.
    const [term] = a.terms;
    Object.defineProperty(paused, "monotonicMs", { value: () => 11_000 });
    expect(term?.signal.aborted).toBe(false);
    expect(() => term?.assertHeld()).toThrow("may no longer be the leader");
    a.ending.abort(new Error("ended"));
    await settle();
  });

  test("because another has taken it stops at once", async () => {
    const a = new Candidate(store, "a", clock);
    await clock.advance(0);
    await store.replace(undefined, {
      metadata: { name: "lease", uid: "u", resourceVersion: store.lease?.metadata.resourceVersion ?? "" },
      spec: { holderIdentity: "thief", leaseDurationSeconds: 15 },
    });
    await clock.advance(2000);
    expect(a.leads).toBe(false);
    expect(store.lease?.spec?.holderIdentity).toBe("thief");
    await a.end();
  });
});

test("an error of the work ends the leadership, and gives the lease back", async () => {
  const client: ConstructorParameters<typeof Leadership>[0]["client"] = Object(store);
  const leadership = new Leadership(
    { client, clock, log: silentLog, namespace: "system", identity: "a" },
    () => undefined,
  );
  const run = leadership.run(() => Promise.reject(new Error("a bug")), new AbortController().signal);
  await expect(run).rejects.toThrow("a bug");
  expect(store.lease?.spec?.holderIdentity).toBeUndefined();
});
