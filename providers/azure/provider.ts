import { invalidConfig } from "../../src/errors/index.ts";
import { readTextFile, type Secret } from "../../src/platform/index.ts";
import type { Provider, ProviderContext, VmRef } from "../contract.ts";
import { type AzureTransport, connectAzure } from "./arm/index.ts";
import type { AzureConfig } from "./config.ts";
import { createVm } from "./create.ts";
import { deleteVm } from "./delete.ts";
import { type AzureDeps, locateVm, ResourceGroups, translator } from "./deps.ts";
import { getVm, listVms } from "./list.ts";
import { Placements } from "./placement.ts";
import { SizeCatalogue } from "./sizes.ts";
import { makeUnusableKey, parsePublicKey } from "./ssh-key.ts";
import { roomFor, verifyAzure } from "./verify.ts";
import { encodeUserData, MAX_USER_DATA_BYTES } from "./vm-body.ts";

/** What a test puts in the place of the world. */
export interface AzureOverrides extends AzureTransport {
  /** Replaces the key that takes seconds to make. */
  readonly sshPublicKey?: string;
}

/** Loads the SDKs and builds the provider. Makes no call. */
export async function createAzureProvider(
  context: ProviderContext,
  config: AzureConfig,
  overrides: AzureOverrides = {},
): Promise<Provider> {
  const clients = await connectAzure(context, config, overrides);
  const { clock, log } = context;
  const sizes = new SizeCatalogue(clients.compute, clock, {
    region: config.region,
    names: [config.defaultSize, ...config.allowedSizes],
  });
  const deps: AzureDeps = {
    clients,
    config,
    clock,
    log,
    sizes,
    placements: new Placements(config, sizes, { clock, log }),
    groups: new ResourceGroups(clients, clock),
    sshPublicKey: publicKeySource(config, overrides.sshPublicKey),
    owner: context.owner,
    uncertain: new Set(),
  };
  return {
    name: "azure",
    limits: { userDataBytes: MAX_USER_DATA_BYTES },
    verify: (signal) => verifyAzure(deps, signal),
    create: (request, options) => createVm(deps, request, options),
    get: (ref, signal) => getVm(deps, ref, signal),
    delete: (ref, signal) => deleteVm(deps, ref, signal),
    list: (filter, signal) => listVms(deps, filter, signal),
    updateUserData: (ref, userData, signal) => updateUserData(deps, { ref, userData }, signal),
    quota: (signal) => roomFor(deps, signal),
    close: async () => undefined,
  };
}

const MAX_KEY_BYTES = 16_384;

/** The key for all VMs of this process: read or made when first asked for. A failure to read it is not remembered. */
function publicKeySource(config: AzureConfig, given: string | undefined): () => Promise<string> {
  if (given !== undefined) return async () => given;
  const path = config.sshKeyPath;
  let made: Promise<string> | undefined;
  return async () => {
    if (path === "") {
      made ??= makeUnusableKey();
      return await made;
    }
    try {
      return parsePublicKey(await readTextFile(path, MAX_KEY_BYTES), path);
    } catch (cause) {
      throw invalidConfig(`ssh-key-path ${path} cannot be read: give a public key file, or none`, { cause });
    }
  };
}

/** The guest sees the new data at its next read of the metadata service. */
async function updateUserData(
  deps: AzureDeps,
  change: { readonly ref: VmRef; readonly userData: Secret },
  signal: AbortSignal,
): Promise<void> {
  const target = locateVm(deps.config, change.ref);
  const translate = translator(deps, signal);
  try {
    const operation = deps.clients.compute.virtualMachines.update(
      target.group,
      target.name,
      { userData: encodeUserData(change.userData.reveal()) },
      { abortSignal: signal },
    );
    await operation.submitted();
    while (!operation.isDone) {
      await deps.clock.sleep(UPDATE_POLL_MS, signal);
      await operation.poll({ abortSignal: signal });
    }
  } catch (error) {
    throw translate(error, `change the user data of VM ${target.name}`);
  }
}

const UPDATE_POLL_MS = 2000;
