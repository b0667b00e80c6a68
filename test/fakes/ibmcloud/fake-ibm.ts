import type { Clock } from "../../../src/platform/index.ts";
import { type Booter, nullBooter } from "../azure/index.ts";
import { type IbmAnswer, IbmRefusal, type IbmRequest, json, refusalBody } from "./answers.ts";
import { Faults, type IbmFault, type IbmSeenCall, kindOf } from "./faults.ts";
import { Iam } from "./iam.ts";
import { removeInstance } from "./instances.ts";
import { containers, tagging } from "./other-services.ts";
import { defaultSettings, type FakeIbmSettings } from "./settings.ts";
import { vpc } from "./vpc.ts";
import { World } from "./world.ts";

/** What a test decides about a call that it holds. */
export type IbmVerdict = "go" | "drop";
/** Asked before a call is carried out and before it is answered. */
export type IbmIntercept = (call: {
  readonly number: number;
  readonly moment: "before" | "after";
}) => Promise<IbmVerdict>;

/** The connection broke: nothing is known of the call. */
export class ConnectionCut extends Error {}

export interface FakeIbmDeps {
  readonly clock: Clock;
  readonly booter?: Booter;
  readonly settings?: Partial<FakeIbmSettings>;
  readonly intercept?: IbmIntercept;
}

/** When a `late` call is carried out. */
const LATE_MS = 8000;

/**
 * IBM Cloud for one account: IAM, the VPC service of one region, Global Tagging and the Kubernetes Service, told apart by
 * host; asynchronous statuses, pages, expiring tokens, quotas, capacity, and any call failing in any way.
 */
export class FakeIbm {
  readonly world: World;
  readonly iam: Iam;
  readonly #faults = new Faults();
  readonly #calls: IbmSeenCall[] = [];
  readonly #intercept: IbmIntercept | undefined;

  constructor(deps: FakeIbmDeps) {
    const settings = { ...defaultSettings(), ...deps.settings };
    this.world = new World(deps.clock, deps.booter ?? nullBooter(), settings);
    this.iam = new Iam(deps.clock, settings);
    this.#intercept = deps.intercept;
  }

  get calls(): readonly IbmSeenCall[] {
    return this.#calls;
  }

  fault(fault: IbmFault): void {
    this.#faults.add(fault);
  }

  clearFaults(): void {
    this.#faults.clear();
  }

  /** A volume of the user's. */
  addVolume(name: string, zone: string): string {
    const id = this.world.id("r010-vol");
    const createdAtMs = this.world.clock.wallMs();
    this.world.volumes.set(id, {
      id,
      name,
      zone,
      tags: [],
      createdAtMs,
      instance: "",
      deleteWithInstance: false,
    });
    return id;
  }

  /** Everything that exists for VMs, one text each. */
  resources(): readonly string[] {
    const { world } = this;
    return [
      ...[...world.instances.values()].map((one) => `instance ${one.name}`),
      ...[...world.volumes.values()].map((one) => `volume ${one.name}`),
      ...[...world.vnis.values()].map((one) => `vni ${one.name}`),
    ].sort();
  }

  instanceNames(): readonly string[] {
    return [...this.world.instances.values()].map(({ name }) => name);
  }

  /** Somebody deletes an instance by hand. */
  vanish(name: string): void {
    for (const one of [...this.world.instances.values()]) {
      if (one.name !== name) continue;
      void this.world.booter.kill(name);
      removeInstance(this.world, one);
    }
  }

  /** Answers a call. Rejects with ConnectionCut when there is no answer, and with the signal's reason when the client leaves. */
  async handle(request: IbmRequest, signal: AbortSignal): Promise<IbmAnswer> {
    const { clock } = this.world;
    const fault = this.#faults.take(request);
    const number = this.#calls.length;
    const { method, url } = request;
    const seen = { number, kind: kindOf(request), method, host: url.host, path: url.pathname };
    this.#calls.push({ ...seen, atMs: clock.monotonicMs(), fault });
    if ((await this.#intercept?.({ number, moment: "before" })) === "drop")
      throw new ConnectionCut("dropped");
    if (fault?.kind === "hang") await hang(signal);
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

  #answer(request: IbmRequest): IbmAnswer {
    try {
      const service = serviceOf(request.url, this.world.settings.region);
      if (service === "iam") return this.iam.token(request);
      if (service === "metadata") return this.iam.metadata(request);
      this.#authorise(request);
      if (service === "tagging") return tagging(this.world, request);
      return service === "containers" ? containers(this.world, request) : vpc(this.world, request);
    } catch (error) {
      if (error instanceof IbmRefusal) return error.answer;
      throw error;
    }
  }

  #authorise(request: IbmRequest): void {
    const token = /^Bearer (.+)$/.exec(request.headers.get("authorization") ?? "")?.[1];
    if (this.iam.accepts(token)) return;
    throw new IbmRefusal(401, "not_authenticated", "The token is missing, invalid or expired");
  }
}

type Service = "iam" | "metadata" | "tagging" | "containers" | "vpc";

/** The service by its path; on a name of IBM's it must be that service's own. */
function serviceOf(url: URL, region: string): Service {
  const services: readonly (readonly [Service, RegExp, string])[] = [
    ["iam", /^\/identity\/token$/, "iam.cloud.ibm.com"],
    ["metadata", /^\/instance_identity\/v1\//, "169.254.169.254"],
    ["tagging", /^\/v3\/tags/, "tags.global-search-tagging.cloud.ibm.com"],
    ["containers", /^\/global\//, "containers.cloud.ibm.com"],
    ["vpc", /^\/v1\//, `${region}.iaas.cloud.ibm.com`],
  ];
  const found = services.find(([, path]) => path.test(url.pathname));
  const local = url.hostname === "localhost";
  if (found && (local || url.host === found[2])) return found[0];
  throw new IbmRefusal(404, "not_found", `no such service: ${url.host}${url.pathname}`);
}

function hang(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

function refusal(fault: IbmFault, status: number): IbmAnswer {
  if (fault.text !== undefined) return { status, headers: fault.headers ?? {}, body: fault.text };
  const wait: Readonly<Record<string, string>> =
    fault.retryAfterMs === undefined ? {} : { "retry-after": `${Math.ceil(fault.retryAfterMs / 1000)}` };
  return json(
    status,
    refusalBody(fault.code ?? `status_${status}`, fault.message ?? "a fault of the fake's"),
    wait,
  );
}
