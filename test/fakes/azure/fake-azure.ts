import type { Clock } from "../../../src/platform/index.ts";
import { type ArmAnswer, ArmRefusal, type ArmRequest, json } from "./answers.ts";
import { type Booter, nullBooter } from "./booter.ts";
import { type ArmCall, type ArmFault, Buckets, Faults, kindOf } from "./faults.ts";
import { route } from "./routing.ts";
import { defaultSettings, type FakeAzureSettings } from "./settings.ts";
import { SubscriptionLimits } from "./subscription-limits.ts";
import { removeVm } from "./virtual-machines.ts";
import { World } from "./world.ts";

/** What a test decides about a call that it holds. */
export type ArmVerdict = "go" | "drop";
/** Asked before a call is carried out and before it is answered. */
export type ArmIntercept = (call: {
  readonly number: number;
  readonly moment: "before" | "after";
}) => Promise<ArmVerdict>;

/** The connection broke: nothing is known of the call. */
export class ConnectionCut extends Error {}

export interface FakeAzureDeps {
  readonly clock: Clock;
  readonly booter?: Booter;
  readonly settings?: Partial<FakeAzureSettings>;
  readonly intercept?: ArmIntercept;
}

/** How long tokens live when nobody says otherwise. */
const TOKEN_MS = 3_600_000;
/** When a `late` call is carried out. */
const LATE_MS = 8000;

/**
 * Azure Resource Manager for one subscription: virtual machines with what is made along with them, long-running operations,
 * pages, tokens, quotas, capacity, throttling, and any call failing in any way.
 */
export class FakeAzure {
  readonly world: World;
  readonly #faults = new Faults();
  readonly #buckets = new Buckets();
  readonly #calls: ArmCall[] = [];
  readonly #tokens = new Map<string, number>();
  readonly #intercept: ArmIntercept | undefined;
  /** What all callers together may ask, where that is enforced. */
  readonly subscription: SubscriptionLimits = new SubscriptionLimits();
  /** Calls that were over Azure's limits. */
  throttled = 0;

  constructor(deps: FakeAzureDeps) {
    this.world = new World(deps.clock, deps.booter ?? nullBooter(), {
      ...defaultSettings(),
      ...deps.settings,
    });
    this.#intercept = deps.intercept;
  }

  get calls(): readonly ArmCall[] {
    return this.#calls;
  }

  fault(fault: ArmFault): void {
    this.#faults.add(fault);
  }

  clearFaults(): void {
    this.#faults.clear();
  }

  /** A token that is taken from now on, for `lifeMs`. */
  issueToken(lifeMs: number = TOKEN_MS): { readonly token: string; readonly expiresOnTimestamp: number } {
    const token = `fake-token-${this.world.number()}`;
    const expiresOnTimestamp = this.world.clock.wallMs() + lifeMs;
    this.#tokens.set(token, expiresOnTimestamp);
    return { token, expiresOnTimestamp };
  }

  /** All tokens so far are refused from now on, whatever they say of themselves. */
  revokeTokens(): void {
    this.#tokens.clear();
  }

  /** A managed disk of the user's, for volumes. */
  addDisk(
    name: string,
    over: { readonly zones?: readonly string[]; readonly location?: string } = {},
  ): string {
    const { clock, settings } = this.world;
    this.world.disks.put({
      name,
      tags: {},
      location: over.location ?? settings.region,
      zones: over.zones ?? [],
      createdAtMs: clock.wallMs(),
      vm: "",
      deleteWithVm: false,
    });
    return this.world.id("Microsoft.Compute/disks", name);
  }

  /** Everything that exists in the group, one text each. */
  resources(): readonly string[] {
    const { world } = this;
    return [
      ...world.vms.all().map((vm) => `vm ${vm.name}`),
      ...world.nics.all().map((nic) => `nic ${nic.name}`),
      ...world.disks.all().map((disk) => `disk ${disk.name}`),
      ...world.publicIps.all().map((address) => `publicIp ${address.name}`),
    ].sort();
  }

  /** Somebody deletes a VM by hand. */
  vanish(name: string): void {
    const vm = this.world.vms.get(name);
    if (!vm) return;
    vm.stop.abort();
    void this.world.booter.kill(name);
    removeVm(this.world, vm);
  }

  /** Answers a call. Rejects with ConnectionCut when there is no answer, and with the signal's reason when the client leaves. */
  async handle(request: ArmRequest, signal: AbortSignal): Promise<ArmAnswer> {
    const { clock } = this.world;
    const fault = this.#faults.take(request);
    const number = this.#calls.length;
    this.#calls.push({
      number,
      kind: kindOf(request),
      method: request.method,
      path: request.url.pathname,
      atMs: clock.monotonicMs(),
      fault,
    });
    if ((await this.#intercept?.({ number, moment: "before" })) === "drop")
      throw new ConnectionCut("dropped");
    if (fault?.kind === "hang")
      await new Promise((_resolve, reject) => {
        if (signal.aborted) reject(signal.reason);
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    if (fault?.kind === "cut") throw new ConnectionCut("cut before it was read");
    if (fault?.kind === "late") {
      clock.schedule(LATE_MS, () => void this.#answer(request));
      throw new ConnectionCut("cut while it was read");
    }
    const answer =
      fault && typeof fault.kind === "number" ? refusal(fault, fault.kind) : this.#answer(request);
    if ((await this.#intercept?.({ number, moment: "after" })) === "drop" || fault?.kind === "lost") {
      throw new ConnectionCut("cut before the answer");
    }
    return answer;
  }

  #answer(request: ArmRequest): ArmAnswer {
    try {
      this.#authorise(request);
      this.#throttle(request);
      return route(this.world, request);
    } catch (error) {
      if (error instanceof ArmRefusal) return error.answer;
      throw error;
    }
  }

  #authorise(request: ArmRequest): void {
    const token = /^Bearer (.+)$/.exec(request.headers.get("authorization") ?? "")?.[1];
    if (token === undefined)
      throw new ArmRefusal(
        401,
        "AuthenticationFailed",
        "Authentication failed. The 'Authorization' header is missing.",
      );
    const untilMs = this.#tokens.get(token);
    if (untilMs === undefined)
      throw new ArmRefusal(401, "InvalidAuthenticationToken", "The access token is invalid.");
    if (untilMs <= this.world.clock.wallMs())
      throw new ArmRefusal(
        401,
        "ExpiredAuthenticationToken",
        "The access token expiry UTC time is earlier than current UTC time.",
      );
  }

  #throttle(request: ArmRequest): void {
    const { settings, clock } = this.world;
    const nowMs = clock.monotonicMs();
    const waitMs = Math.max(
      settings.throttle ? this.#buckets.waitMs(request, nowMs) : 0,
      settings.subscriptionLimits ? this.subscription.waitMs(request, nowMs) : 0,
    );
    if (waitMs === 0) return;
    this.throttled += 1;
    throw new ArmRefusal(
      429,
      "TooManyRequests",
      "The server rejected the request because too many requests have been received for this subscription.",
      {
        "retry-after": `${Math.ceil(waitMs / 1000)}`,
      },
    );
  }
}

function refusal(fault: ArmFault, status: number): ArmAnswer {
  if (fault.text !== undefined) return { status, headers: fault.headers ?? {}, body: fault.text };
  const wait: Readonly<Record<string, string>> =
    fault.retryAfterMs === undefined
      ? {}
      : fault.retryAfterMs % 1000 === 0
        ? { "retry-after": `${fault.retryAfterMs / 1000}` }
        : { "x-ms-retry-after-ms": `${fault.retryAfterMs}` };
  const body = {
    error: { code: fault.code ?? `Status${status}`, message: fault.message ?? "a fault of the fake's" },
  };
  return json(status, body, wait);
}
