import { type IbmAnswer, IbmRefusal, type IbmRequest, json } from "./answers.ts";
import { parseBody } from "./parse.ts";
import { AttachTagBody } from "./schemas.ts";
import type { World } from "./world.ts";

/** Global Tagging v3. */
export function tagging(world: World, request: IbmRequest): IbmAnswer {
  const { clock, settings } = world;
  const { url } = request;
  if (url.searchParams.get("tag_type") !== "user")
    throw new IbmRefusal(400, "TAGGING-PARAM", "tag_type must be user");
  if (request.method === "GET" && url.pathname === "/v3/tags") {
    const held = world.tags.get(url.searchParams.get("attached_to") ?? "");
    const items = [...(held ?? [])]
      .filter(([, fromMs]) => fromMs <= clock.monotonicMs())
      .map(([name]) => ({ name }));
    return json(200, { total_count: items.length, offset: 0, limit: 100, items });
  }
  if (request.method !== "POST" || url.pathname !== "/v3/tags/attach") {
    throw new IbmRefusal(404, "not_found", "no such path");
  }
  const body = parseBody(AttachTagBody, request.body);
  const results = (body.resources ?? []).map(({ resource_id }) => {
    const instance = [...world.instances.values()].find(({ crn }) => crn === resource_id);
    const blind = instance && clock.wallMs() - instance.createdAtMs < settings.tagBlindMs;
    if (!instance || blind) return { resource_id, is_error: true, message: "resource not found" };
    const held = world.tags.get(resource_id) ?? new Map<string, number>();
    for (const tag of body.tag_names ?? []) {
      // Tags are compared, and shown, in lower case.
      const name = tag.toLowerCase();
      if (!held.has(name)) held.set(name, clock.monotonicMs() + settings.tagDelayMs);
    }
    world.tags.set(resource_id, held);
    return { resource_id, is_error: false };
  });
  return json(200, { results });
}

/** The Kubernetes Service, v2 and network/v2, under /global. */
export function containers(world: World, request: IbmRequest): IbmAnswer {
  const { settings } = world;
  const cluster = request.url.searchParams.get("cluster");
  const path = request.url.pathname.replace(/^\/global/, "");
  if (cluster !== settings.clusterId) {
    return json(404, {
      incidentID: "fake-incident",
      code: "G0004",
      description: "The specified cluster could not be found.",
      type: "General",
    });
  }
  switch (path) {
    case "/v2/vpc/getCluster":
      return json(200, {
        id: settings.clusterId,
        name: "cluster",
        region: settings.region,
        resourceGroup: settings.resourceGroupId,
        vpcs: [settings.vpcId],
        provider: "vpc-gen2",
      });
    case "/v2/vpc/getWorkers":
      return json(
        200,
        settings.workers.map((one) => ({
          id: one.id,
          location: settings.subnets.find(({ id }) => id === one.subnetId)?.zone ?? "",
          networkInterfaces: [
            { subnetID: one.subnetId, ipAddress: one.address, cidr: "10.243.0.0/18", primary: true },
          ],
        })),
      );
    case "/network/v2/security-group/getSecurityGroups":
      return json(
        200,
        settings.securityGroups
          .filter((one) => one.vpcId === settings.vpcId)
          .map(({ id, name }) => ({ id, name, type: "cluster", userProvided: false, shared: false })),
      );
    default:
      throw new IbmRefusal(404, "not_found", `no such path: ${path}`);
  }
}
