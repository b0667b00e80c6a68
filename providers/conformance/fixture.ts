import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import { type CaaError, type ErrorKind, isCaaError } from "../../src/errors/index.ts";
import { Secret } from "../../src/platform/index.ts";
import {
  type CreateOptions,
  type OwnerIdentity,
  OwnerTag,
  type Provider,
  type Vm,
  type VmRequest,
} from "../contract.ts";
import type { MakeHarness, ProviderHarness, ProviderSettings } from "./harness.ts";

/** In the user data of every VM: must never be seen in an error. */
export const USER_DATA_MARK = "kept-from-logs-4711";

/** Who the tests' adaptor is. */
export const OWNER: OwnerIdentity = { clusterId: "cluster-a", nodeName: "node-1" };

/** A signal that never aborts. */
export const never = (): AbortSignal => new AbortController().signal;

/** One test's account and the providers that use it. */
export interface Fixture extends AsyncDisposable {
  readonly harness: ProviderHarness;
  readonly provider: Provider;
  /** Another adaptor process on the same account. */
  another(settings?: Partial<ProviderSettings>): Promise<Provider>;
}

/** An empty account and a provider for it; at the end the account must be as empty as it was. */
export async function openFixture(makeHarness: MakeHarness): Promise<Fixture> {
  const harness = await makeHarness();
  const providers: Provider[] = [];
  const another = async (settings: Partial<ProviderSettings> = {}): Promise<Provider> => {
    const made = await harness.provider({ owner: OWNER, ...settings });
    providers.push(made);
    return made;
  };
  return {
    harness,
    provider: await another(),
    another,
    async [Symbol.asyncDispose]() {
      for (const made of providers) await made.close();
      await harness[Symbol.asyncDispose]();
    },
  };
}

/** A request for a VM that no other test has asked for. */
export function vmRequest(
  changes: Partial<VmRequest> & { readonly sandbox?: string; readonly owner?: OwnerIdentity } = {},
): VmRequest {
  const pod = `pod-${randomBytes(3).toString("hex")}`;
  const { sandbox = randomBytes(32).toString("hex"), owner = OWNER, ...rest } = changes;
  return {
    name: `podvm-${pod}-${sandbox.slice(0, 8)}`,
    tags: {
      [OwnerTag.Cluster]: owner.clusterId,
      [OwnerTag.Node]: owner.nodeName,
      [OwnerTag.Sandbox]: sandbox,
      [OwnerTag.Namespace]: "default",
      [OwnerTag.Pod]: pod,
    },
    userData: new Secret(`#cloud-config\n# ${USER_DATA_MARK}\n`),
    size: { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 },
    image: "",
    dedicatedTunnelInterface: false,
    externalNetworkInterface: false,
    volumes: [],
    ...rest,
  };
}

/** Options of a create that nobody watches. */
export const quiet = (signal: AbortSignal = never()): CreateOptions => ({
  signal,
  onId: () => undefined,
  onProgress: () => undefined,
});

/** The error that a call ends with, which must be one of ours and must not show user data. */
export async function failure(promise: Promise<unknown>): Promise<CaaError> {
  const error: unknown = await promise.then(
    (value) => {
      throw new Error(`expected a failure, got ${JSON.stringify(value)}`);
    },
    (reason: unknown) => reason,
  );
  if (!isCaaError(error)) throw new Error("a provider's failure must be a CaaError", { cause: error });
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
    expect(cause.message).not.toContain(USER_DATA_MARK);
  return error;
}

/** Resolves with the value, or undefined after a failure of one of the kinds. */
export async function unless<T>(promise: Promise<T>, ...kinds: readonly ErrorKind[]): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (isCaaError(error, ...kinds)) return undefined;
    throw error;
  }
}

export const names = (vms: readonly Vm[]): readonly string[] => vms.map(({ name }) => name).sort();

/** What a restarted adaptor does with a name in its journal: finds it, deletes it by name alone, and looks again. */
export async function recoverByName(fixture: Fixture, name: string): Promise<void> {
  const fresh = await fixture.another();
  const found = names(await fresh.list({ clusterId: OWNER.clusterId, names: [name] }, never()));
  const existing = await fixture.harness.cloud.vmNames();
  expect(found).toEqual([...existing].sort());
  await fresh.delete({ name }, never());
  expect(await fixture.harness.cloud.vmNames()).toEqual([]);
}
