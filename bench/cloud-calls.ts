// How many calls of the cloud's API a pod costs. Providers run against the in-process fakes on a virtual clock: the figures
// depend on our code and on how long the fakes take, never on the machine.
import { createAzureProvider } from "../providers/azure/index.ts";
import { OwnerTag, type Provider, type VmRequest } from "../providers/contract.ts";
import { Secret, silentLog, systemExec } from "../src/platform/index.ts";
import * as azureFake from "../test/fakes/azure/index.ts";
import { VirtualClock } from "../test/fakes/clock/index.ts";
import * as ibmFake from "../test/fakes/ibmcloud/index.ts";
import type { Row } from "./report.ts";

/** What a call is for. `poll` reads a VM, or an operation on one; `read` any other single thing. */
export type CallKind = "create" | "read" | "list" | "poll" | "delete" | "tag" | "token";
const KINDS: readonly CallKind[] = ["create", "read", "list", "poll", "delete", "tag", "token"];
export type CountedProvider = "azure" | "ibmcloud";

/** Calls of all pods together, by what they were for. */
export type CallCounts = Readonly<Partial<Record<CallKind, number>>>;

/** One run: so many pods made at once by a process that has just started, then deleted at once. */
export interface CloudCalls {
  readonly provider: CountedProvider;
  readonly pods: number;
  readonly perCreate: number;
  readonly perDelete: number;
  readonly creates: CallCounts;
  readonly deletes: CallCounts;
  /** Answers with status 429; undefined where the fake has no limits, because the cloud does not publish any. */
  readonly throttled: number | undefined;
}

/** One pod, and as many at once as a node that starts a batch sees. */
export const POD_COUNTS: readonly number[] = [1, 30];

/**
 * Calls per pod as measured in November 2026, rounded up to hundredths, so that one call more by 30 pods together is already
 * too many. More is a regression; fewer is a reason to lower these. A pod alone pays for what is read once for each process
 * (token, sizes, profile, image) and is polled by reads of its own; 30 share all that, and are polled by lists.
 */
export const MOST_CALLS: Readonly<
  Record<CountedProvider, Readonly<Record<number, { readonly create: number; readonly delete: number }>>>
> = {
  azure: { 1: { create: 8, delete: 7 }, 30: { create: 2.2, delete: 2.17 } },
  ibmcloud: { 1: { create: 11, delete: 8 }, 30: { create: 2.3, delete: 4.14 } },
};

interface CountedCloud {
  readonly provider: Provider;
  /** Every call so far. */
  calls(): readonly CallKind[];
  throttled(): number | undefined;
  /** What exists. */
  resources(): readonly string[];
}

const OWNER = { clusterId: "cluster-a", nodeName: "node-1" };

/** Azure that enforces its documented limits per VM and operation; lists come in pages of 50. */
async function azure(): Promise<CountedCloud> {
  const clock = new VirtualClock();
  const fake = new azureFake.FakeAzure({ clock, settings: { throttle: true, pageSize: 50 } });
  let tokens = 0;
  const provider = await createAzureProvider(
    { clock, exec: systemExec, log: silentLog, owner: OWNER },
    azureFake.fakeConfig(),
    {
      httpClient: azureFake.inProcessClient(fake),
      credential: {
        getToken: async () => {
          tokens += 1;
          return fake.issueToken();
        },
      },
      random: () => 0.5,
      sshPublicKey: azureFake.SSH_KEY,
    },
  );
  return {
    provider,
    calls: () => [...fake.calls.map(azureKind), ...Array.from({ length: tokens }, () => "token" as const)],
    throttled: () => fake.throttled,
    resources: () => fake.resources(),
  };
}

/** IBM Cloud without limits; lists come in pages of 100, the most that VPC gives. */
async function ibmcloud(): Promise<CountedCloud> {
  const account = new ibmFake.FakeAccount({ pageSize: 100 });
  return {
    provider: await account.provider({}, OWNER),
    calls: () => account.ibm.calls.map(ibmKind),
    throttled: () => undefined,
    resources: () => account.ibm.resources(),
  };
}

interface SeenCall {
  readonly method: string;
  readonly path: string;
}

/** By ARM's paths (Azure REST API, Compute and Network): `.../{type}` is a list, `.../{type}/{name}` one thing. */
function azureKind({ method, path }: SeenCall): CallKind {
  if (method === "PUT") return "create";
  if (method === "DELETE") return "delete";
  if (method === "GET" && /\/(operations|virtualMachines)\/[^/]+$/i.test(path)) return "poll";
  if (method === "GET")
    return /\/(skus|virtualMachines|networkInterfaces|disks|publicIPAddresses)$/i.test(path)
      ? "list"
      : "read";
  throw unknownCall("azure", { method, path });
}

/** By the paths of IAM, Global Tagging v3 and VPC v1. */
function ibmKind({ method, path }: SeenCall): CallKind {
  if (path.startsWith("/identity/") || path.startsWith("/instance_identity/")) return "token";
  if (path.startsWith("/v3/tags")) return "tag";
  if (method === "POST" && path === "/v1/instances") return "create";
  if (method === "DELETE") return "delete";
  if (method === "GET" && /^\/v1\/instances\/[^/]+$/.test(path)) return "poll";
  if (method === "GET") return /^\/v1\/[^/]+$/.test(path) ? "list" : "read";
  throw unknownCall("ibmcloud", { method, path });
}

function unknownCall(provider: CountedProvider, { method, path }: SeenCall): Error {
  return new Error(`${provider} made a call that is not counted yet: ${method} ${path}; give it a kind here`);
}

const CLOUDS: Readonly<Record<CountedProvider, () => Promise<CountedCloud>>> = { azure, ibmcloud };

function request(n: number): VmRequest {
  const number = `${n}`.padStart(8, "0");
  return {
    name: `podvm-many-${number}`,
    tags: {
      [OwnerTag.Cluster]: OWNER.clusterId,
      [OwnerTag.Node]: OWNER.nodeName,
      [OwnerTag.Sandbox]: number.padStart(64, "0"),
      [OwnerTag.Namespace]: "default",
      [OwnerTag.Pod]: `many-${n}`,
    },
    userData: new Secret("#cloud-config\n"),
    size: { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 },
    image: "",
    dedicatedTunnelInterface: false,
    externalNetworkInterface: false,
    volumes: [],
  };
}

function count(calls: readonly CallKind[]): CallCounts {
  const counts: Partial<Record<CallKind, number>> = {};
  for (const kind of calls) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** `now` less `before`, without what did not happen. */
function since(before: CallCounts, now: CallCounts): CallCounts {
  return Object.fromEntries(
    KINDS.map((kind) => [kind, (now[kind] ?? 0) - (before[kind] ?? 0)] as const).filter(([, n]) => n > 0),
  );
}

const total = (counts: CallCounts): number => Object.values(counts).reduce((sum, n) => sum + n, 0);

/** Makes `pods` VMs at once and deletes them at once. Throws when one fails or something is left. */
export async function countCalls(name: CountedProvider, pods: number): Promise<CloudCalls> {
  const cloud = await CLOUDS[name]();
  const signal = new AbortController().signal;
  const options = { signal, onId: () => undefined, onProgress: () => undefined };
  const requests = Array.from({ length: pods }, (_, n) => request(n));
  const vms = await Promise.all(requests.map((one) => cloud.provider.create(one, options)));
  const creates = count(cloud.calls());
  await Promise.all(vms.map((vm) => cloud.provider.delete({ id: vm.id, name: vm.name }, signal)));
  const deletes = since(creates, count(cloud.calls()));
  await cloud.provider.close();
  const left = cloud.resources();
  if (left.length > 0) throw new Error(`${name} left behind ${left.join(", ")}: the count is of no use`);
  return {
    provider: name,
    pods,
    perCreate: total(creates) / pods,
    perDelete: total(deletes) / pods,
    creates,
    deletes,
    throttled: cloud.throttled(),
  };
}

/** All runs, one after another. */
export async function measureCloudCalls(): Promise<readonly CloudCalls[]> {
  const all: CloudCalls[] = [];
  for (const name of ["azure", "ibmcloud"] as const) {
    for (const pods of POD_COUNTS) all.push(await countCalls(name, pods));
  }
  return all;
}

/** What the calls were for, all pods of a run together, as a Markdown table. */
export function callKindsTable(measured: readonly CloudCalls[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [
    line(["provider", "pods", "", ...KINDS]),
    `|---|---:|---|${"---:|".repeat(KINDS.length)}`,
    ...measured.flatMap(({ provider, pods, creates, deletes }) =>
      Object.entries({ create: creates, delete: deletes }).map(([what, counts]) =>
        line([provider, `${pods}`, what, ...KINDS.map((kind) => `${counts[kind] ?? ""}`)]),
      ),
    ),
  ].join("\n");
}

/** Rows of calls per pod; the targets are what has been measured before. */
export function cloudCallRows(measured: readonly CloudCalls[]): readonly Row[] {
  return measured.flatMap((run) => {
    const who = `${run.provider}, ${run.pods === 1 ? "1 pod alone" : `${run.pods} pods at once`}`;
    const most = MOST_CALLS[run.provider][run.pods];
    const row = (what: string, ours: number, atMost: number | undefined): Row => ({
      what: `${who}: ${what}`,
      unit: "calls",
      values: { ours },
      ...(atMost === undefined ? {} : { target: { of: "ours", atMost } }),
    });
    return [
      row("API calls per create", run.perCreate, most?.create),
      row("API calls per delete", run.perDelete, most?.delete),
      ...(run.throttled === undefined ? [] : [row("answers 429", run.throttled, 0)]),
    ];
  });
}
