import type { Provider, ProviderContext } from "../contract.ts";
import { connectIbm, IbmApi, type IbmTransport } from "./api/index.ts";
import { checkPlace, type IbmConfig } from "./config.ts";
import { createVm } from "./create.ts";
import { deleteVm } from "./delete.ts";
import { type IbmDeps, makeFleet } from "./deps.ts";
import { ImageCatalogue } from "./images.ts";
import { MAX_USER_DATA_BYTES } from "./instance-body.ts";
import { getVm, listVms } from "./list.ts";
import { Placements } from "./placement.ts";
import { ProfileCatalogue } from "./profiles.ts";
import { SiteFinder } from "./site.ts";
import { verifyIbm } from "./verify.ts";

/** Loads the SDK and builds the provider. Makes no call. Throws `invalid-config` when it cannot know where VMs go. */
export async function createIbmProvider(
  context: ProviderContext,
  config: IbmConfig,
  transport: IbmTransport = {},
): Promise<Provider> {
  const { clock, log, owner } = context;
  checkPlace(config, owner.clusterId);
  const connection = await connectIbm(context, config.identity, transport);
  const finder = new SiteFinder({ config, clock, log, owner });
  const endpoints = { containers: config.containersUrl, tagging: config.taggingUrl };
  const api: IbmApi = new IbmApi(connection, endpoints, () => finder.endpoint(api));
  const site = (signal: AbortSignal): ReturnType<IbmDeps["site"]> => finder.find(api, signal);
  const profiles = new ProfileCatalogue(api, clock, [config.defaultProfile, ...config.allowedProfiles]);
  const ids = { all: config.imageIds, secureExecution: config.seImageIds };
  const deps: IbmDeps = {
    api,
    config,
    clock,
    log,
    owner,
    profiles,
    images: new ImageCatalogue(api, { clock, log }, ids),
    placements: new Placements(config, profiles, clock),
    site,
    fleet: makeFleet(api, clock, site),
    uncertain: new Set(),
  };
  return {
    name: "ibmcloud",
    limits: { userDataBytes: MAX_USER_DATA_BYTES },
    verify: (signal) => verifyIbm(deps, signal),
    create: (request, options) => createVm(deps, request, options),
    get: (ref, signal) => getVm(deps, ref, signal),
    delete: (ref, signal) => deleteVm(deps, ref, signal),
    list: (filter, signal) => listVms(deps, filter, signal),
    close: async () => undefined,
  };
}
