import { type ArmAnswer, ArmRefusal, type ArmRequest, json } from "./answers.ts";
import {
  deleteDisk,
  deleteNic,
  deletePublicIp,
  getDisk,
  getImage,
  getNic,
  getOperation,
  getPublicIp,
  getSubnet,
  listSkus,
  listUsage,
  viewDisk,
  viewNic,
  viewPublicIp,
} from "./other-resources.ts";
import { API_VERSIONS } from "./schemas.ts";
import { deleteVm, getVm, patchVm, putVm, viewVm } from "./virtual-machines.ts";
import type { World } from "./world.ts";

/** The type that a path names, lower-cased, for the api-version check: `microsoft.compute/virtualmachines`. */
function typeOf(path: string): string {
  return /\/providers\/([^/]+\/[^/]+)/i.exec(path)?.[1]?.toLowerCase() ?? "";
}

function checkVersion(request: ArmRequest): void {
  const type = typeOf(request.url.pathname);
  const version = request.url.searchParams.get("api-version");
  if (version === null)
    throw new ArmRefusal(
      400,
      "MissingApiVersionParameter",
      "The api-version query parameter (?api-version=) is required for all requests.",
    );
  const known = API_VERSIONS[type];
  if (!known)
    throw new ArmRefusal(404, "InvalidResourceType", `The resource type '${type}' could not be found.`);
  if (!known.includes(version)) {
    throw new ArmRefusal(
      400,
      "InvalidResourceType",
      `The resource type '${type}' could not be found in the namespace for api version '${version}'. The supported api-versions are '${known.join(",")}'.`,
    );
  }
}

/** Answers an authorised request. Throws ArmRefusal. */
export function route(world: World, request: ArmRequest): ArmAnswer {
  const { settings } = world;
  const path = decodeURIComponent(request.url.pathname);
  checkVersion(request);
  const subscription = /^\/subscriptions\/([^/]+)(\/.*)$/i.exec(path);
  if (subscription?.[1]?.toLowerCase() !== settings.subscriptionId.toLowerCase()) {
    throw new ArmRefusal(
      404,
      "SubscriptionNotFound",
      `The subscription '${subscription?.[1]}' could not be found.`,
    );
  }
  const rest = subscription?.[2] ?? "";
  const operation = /\/locations\/[^/]+\/operations\/([^/]+)$/i.exec(rest)?.[1];
  if (operation !== undefined) return getOperation(world, operation);
  if (/^\/providers\/Microsoft.Compute\/skus$/i.test(rest))
    return page(world, request, listSkus(world, request), 200);
  if (/\/locations\/[^/]+\/usages$/i.test(rest)) return page(world, request, listUsage(world), 200);
  const gallery = /\/locations\/[^/]+\/((?:community|shared)Galleries\/.*)$/i.exec(rest)?.[1];
  if (gallery !== undefined)
    return getImage(world, `/${gallery.replace(/^./, (first) => first.toUpperCase())}`);
  if (/\/(galleries|images)\//i.test(rest)) return getImage(world, path);
  if (/\/virtualNetworks\/[^/]+\/subnets\//i.test(rest)) return getSubnet(world, path);
  return routeGroup(world, request, rest);
}

function routeGroup(world: World, request: ArmRequest, rest: string): ArmAnswer {
  const match = /^\/resourceGroups\/([^/]+)\/providers\/([^/]+\/[^/]+)(?:\/([^/]+))?$/i.exec(rest);
  const [, group = "", type = "", name] = match ?? [];
  if (group.toLowerCase() !== world.settings.resourceGroup.toLowerCase()) {
    throw new ArmRefusal(404, "ResourceGroupNotFound", `Resource group '${group}' could not be found.`);
  }
  const { method } = request;
  const answer = name === undefined ? list(world, request, type) : one(world, request, { type, name });
  if (!answer) throw new ArmRefusal(405, "MethodNotAllowed", `${method} ${type} is not part of the fake.`);
  return answer;
}

function list(world: World, request: ArmRequest, type: string): ArmAnswer | undefined {
  if (request.method !== "GET") return undefined;
  switch (type.toLowerCase()) {
    case "microsoft.compute/virtualmachines":
      return page(
        world,
        request,
        world.vms.listed().map((vm) => viewVm(world, vm, "")),
      );
    case "microsoft.compute/disks":
      return page(
        world,
        request,
        world.disks.listed().map((disk) => viewDisk(world, disk)),
      );
    case "microsoft.network/networkinterfaces":
      return page(
        world,
        request,
        world.nics.listed().map((nic) => viewNic(world, nic)),
      );
    case "microsoft.network/publicipaddresses":
      return page(
        world,
        request,
        world.publicIps.listed().map((address) => viewPublicIp(world, address)),
      );
    default:
      return undefined;
  }
}

function one(
  world: World,
  request: ArmRequest,
  target: { readonly type: string; readonly name: string },
): ArmAnswer | undefined {
  const { name } = target;
  switch (`${request.method} ${target.type.toLowerCase()}`) {
    case "PUT microsoft.compute/virtualmachines":
      return putVm(world, name, request);
    case "PATCH microsoft.compute/virtualmachines":
      return patchVm(world, name, request);
    case "GET microsoft.compute/virtualmachines":
      return getVm(world, name, request);
    case "DELETE microsoft.compute/virtualmachines":
      return deleteVm(world, name, request);
    case "GET microsoft.compute/disks":
      return getDisk(world, name);
    case "DELETE microsoft.compute/disks":
      return deleteDisk(world, name, request);
    case "GET microsoft.network/networkinterfaces":
      return getNic(world, name);
    case "DELETE microsoft.network/networkinterfaces":
      return deleteNic(world, name, request);
    case "GET microsoft.network/publicipaddresses":
      return getPublicIp(world, name);
    case "DELETE microsoft.network/publicipaddresses":
      return deletePublicIp(world, name, request);
    default:
      return undefined;
  }
}

/** One page of a list, with the link to the next in the form that ARM gives it. */
function page(
  world: World,
  request: ArmRequest,
  items: readonly object[],
  size: number = world.settings.pageSize,
): ArmAnswer {
  const from = Number(request.url.searchParams.get("$skiptoken") ?? 0);
  const next = from + size;
  const link = new URL(request.url);
  link.searchParams.set("$skiptoken", `${next}`);
  return json(200, {
    value: items.slice(from, next),
    ...(next < items.length ? { nextLink: link.href } : {}),
  });
}
