import { empty, type IbmAnswer, IbmRefusal, type IbmRequest, json } from "./answers.ts";
import { beginDelete, createInstance } from "./instances.ts";
import { LIST_QUERIES } from "./schemas.ts";
import type { FakeImage, FakeProfile } from "./settings.ts";
import type { FakeInstance, FakeVni, FakeVolume, World } from "./world.ts";

const notFound = (what: string, id: string): IbmRefusal =>
  new IbmRefusal(404, `${what}_not_found`, `${what} ${id} not found`);

/** The VPC API of a region: paths under /v1. */
export function vpc(world: World, request: IbmRequest): IbmAnswer {
  checkVersion(request.url);
  const [kind = "", ...rest] = request.url.pathname
    .replace(/^\/v1\//, "")
    .split("/")
    .map(decodeURIComponent);
  const id = rest.at(-1) ?? "";
  const { method } = request;
  switch (kind) {
    case "instances":
      return instances(world, request, id);
    case "instance":
      return found(
        world.settings.profiles.find(({ name }) => name === id),
        "instance_profile",
        { id, show: showProfile },
      );
    case "volumes":
      if (id === "")
        return list(request, "volumes", { all: volumesFor(world, request.url), show: showVolume, world });
      return method === "DELETE"
        ? deleteVolume(world, id)
        : found(world.volumes.get(id), "volume", { id, show: showVolume });
    case "virtual_network_interfaces":
      if (id === "") return list(request, kind, { all: [...world.vnis.values()], show: showVni, world });
      return method === "DELETE"
        ? deleteVni(world, id)
        : found(world.vnis.get(id), "vni", { id, show: showVni });
    default:
      return others(world, kind, id);
  }
}

function others(world: World, kind: string, id: string): IbmAnswer {
  const { settings } = world;
  const show = (body: object) => ({ id, show: () => body });
  switch (kind) {
    case "images":
      return found(
        settings.images.find((one) => one.id === id),
        "image",
        { id, show: showImage },
      );
    case "subnets": {
      const subnet = settings.subnets.find((one) => one.id === id);
      return found(subnet, "subnet", {
        id,
        show: (one) => ({
          id,
          name: `subnet-${one.zone}`,
          ipv4_cidr_block: "10.243.0.0/24",
          available_ipv4_address_count: one.free,
          total_ipv4_address_count: 256,
          public_gateway: { id: "r010-gw-1", name: "gw" },
          resource_group: { id: settings.resourceGroupId, name: "podvms" },
          status: "available",
          vpc: { id: one.vpcId, name: "vpc" },
          zone: { name: one.zone },
        }),
      });
    }
    case "security_groups": {
      const group = settings.securityGroups.find((one) => one.id === id);
      return found(group, "security_group", {
        id,
        show: (one) => ({ id, name: one.name, rules: [], vpc: { id: one.vpcId, name: "vpc" } }),
      });
    }
    case "keys":
      return found(
        settings.keys.find((one) => one === id),
        "key",
        show({ id, name: "podvms", type: "rsa" }),
      );
    case "dedicated_hosts":
    case "dedicated_host": {
      const host = settings.hosts.find((one) => one.id === id && one.group === (kind === "dedicated_host"));
      return found(host, "dedicated_host", {
        id,
        show: (one) => ({
          id,
          name: id,
          state: "available",
          instance_placement_enabled: !one.disabled,
          zone: { name: one.zone },
        }),
      });
    }
    default:
      throw new IbmRefusal(404, "not_found", `no such path: ${kind}`);
  }
}

/** `version` is a date that is not in the future, `generation` is 2: refused otherwise. */
function checkVersion(url: URL): void {
  const version = url.searchParams.get("version") ?? "";
  if (!/^\d{4}-\d{2}-\d{2}$/.test(version) || version > "2026-11-23") {
    throw new IbmRefusal(400, "invalid_version", `The version ${version} is not a date that has been`);
  }
  if (url.searchParams.get("generation") !== "2")
    throw new IbmRefusal(400, "missing_field", "generation must be 2");
}

function found<T>(
  value: T | undefined,
  what: string,
  how: { readonly id: string; readonly show: (value: T) => object },
): IbmAnswer {
  if (value === undefined) throw notFound(what, how.id);
  return json(200, how.show(value));
}

function instances(world: World, request: IbmRequest, id: string): IbmAnswer {
  const { method, url } = request;
  const show = (one: FakeInstance): object => showInstance(world, one);
  if (id === "" && method === "POST") return json(201, show(createInstance(world, request.body)));
  if (id === "") {
    const name = url.searchParams.get("name");
    const vpcId = url.searchParams.get("vpc.id");
    const nowMs = world.clock.monotonicMs();
    const all = [...world.instances.values()].filter(
      (one) =>
        one.listedFromMs <= nowMs &&
        (name === null || one.name === name) &&
        (vpcId === null || one.body.vpc?.id === vpcId),
    );
    return list(request, "instances", { all, show, world });
  }
  const instance = world.instances.get(id);
  if (!instance) throw notFound("instance", id);
  if (method !== "DELETE") return json(200, show(instance));
  beginDelete(world, instance);
  return empty(204);
}

function volumesFor(world: World, url: URL): readonly FakeVolume[] {
  const name = url.searchParams.get("name");
  const tag = url.searchParams.get("tag");
  return [...world.volumes.values()].filter(
    (one) => (name === null || one.name === name) && (tag === null || one.tags.includes(tag)),
  );
}

function deleteVolume(world: World, id: string): IbmAnswer {
  const volume = world.volumes.get(id);
  if (!volume) throw notFound("volume", id);
  if (volume.instance !== "") throw new IbmRefusal(409, "volume_in_use", `Volume ${id} is attached`);
  world.volumes.delete(id);
  return empty(204);
}

function deleteVni(world: World, id: string): IbmAnswer {
  const vni = world.vnis.get(id);
  if (!vni) throw notFound("vni", id);
  if (vni.instance !== "") throw new IbmRefusal(409, "vni_in_use", `Network interface ${id} is attached`);
  world.vnis.delete(id);
  return json(202, showVni(vni));
}

/** One page: `start` is the number of the first item, opaque to clients. */
function list<T>(
  request: IbmRequest,
  kind: string,
  how: { readonly all: readonly T[]; readonly show: (item: T) => object; readonly world: World },
): IbmAnswer {
  const { url } = request;
  const allowed = ["version", "generation", ...(LIST_QUERIES[kind] ?? [])];
  const strange = [...url.searchParams.keys()].find((key) => !allowed.includes(key));
  if (strange !== undefined)
    throw new IbmRefusal(400, "invalid_query", `The parameter ${strange} is not recognized`);
  const limit = Number(url.searchParams.get("limit") ?? 50);
  if (!(limit >= 1 && limit <= 100))
    throw new IbmRefusal(400, "invalid_limit", "limit must be from 1 to 100");
  const size = Math.min(limit, how.world.settings.pageSize);
  const start = Number(url.searchParams.get("start") ?? 0);
  const link = (from: number): string => {
    const next = new URL(url);
    next.searchParams.set("start", `${from}`);
    return next.href;
  };
  return json(200, {
    first: { href: link(0) },
    limit,
    total_count: how.all.length,
    [kind]: how.all.slice(start, start + size).map(how.show),
    ...(start + size < how.all.length ? { next: { href: link(start + size) } } : {}),
  });
}

function showInstance(world: World, one: FakeInstance): object {
  const told = world.clock.monotonicMs() >= one.addressesFromMs;
  const attachments = one.vniIds.map((vniId, at) => ({
    id: `${vniId}-attachment`,
    name: `attachment-${at}`,
    primary_ip: { address: (told ? one.addresses[at] : undefined) ?? "0.0.0.0", id: `ip-${at}`, name: "ip" },
    resource_type: "instance_network_attachment",
    virtual_network_interface: { id: vniId, name: world.vnis.get(vniId)?.name ?? "", crn: "" },
  }));
  return {
    id: one.id,
    crn: one.crn,
    name: one.name,
    status: one.status,
    status_reasons: one.reasons,
    lifecycle_state: one.status === "deleting" ? "deleting" : "stable",
    lifecycle_reasons: [],
    created_at: new Date(one.createdAtMs).toISOString(),
    vpc: { id: one.body.vpc?.id, name: "vpc" },
    zone: { name: one.body.zone.name },
    profile: { name: one.body.profile?.name },
    image: { id: one.body.image.id },
    vcpu: { count: one.vcpus, architecture: "amd64" },
    boot_volume_attachment: {
      id: "boot",
      volume: { id: one.volumeId, name: world.volumes.get(one.volumeId)?.name },
    },
    // The second before the first, so that nobody relies on the order.
    network_attachments: attachments.toReversed(),
    primary_network_attachment: attachments[0],
    network_interfaces: attachments.toReversed(),
    primary_network_interface: attachments[0],
  };
}

function showVolume(one: FakeVolume): object {
  return {
    id: one.id,
    name: one.name,
    status: "available",
    created_at: new Date(one.createdAtMs).toISOString(),
    zone: { name: one.zone },
    user_tags: one.tags,
    attachment_state: one.instance === "" ? "unattached" : "attached",
    volume_attachments:
      one.instance === "" ? [] : [{ id: "att", type: "boot", instance: { id: one.instance } }],
  };
}

function showVni(one: FakeVni): object {
  return {
    id: one.id,
    name: one.name,
    auto_delete: one.autoDelete,
    lifecycle_state: "stable",
    subnet: { id: one.subnetId },
    ...(one.instance === ""
      ? {}
      : { target: { id: one.instance, resource_type: "instance_network_attachment" } }),
  };
}

function showImage(one: FakeImage): object {
  return {
    id: one.id,
    name: one.name,
    status: one.status,
    user_data_format: one.userDataFormat,
    operating_system: { architecture: one.architecture, name: one.osName, family: "Linux" },
    visibility: "private",
    zones: one.zones.map((name) => ({ name })),
  };
}

/** InstanceProfile in the forms that versions have had. */
export function showProfile(one: FakeProfile): object {
  const forms = {
    fixed: { type: "fixed", value: one.vcpus },
    enum: { type: "enum", values: [one.vcpus, one.vcpus * 2], default: one.vcpus },
    range: { type: "range", min: 1, max: 64, step: 1, default: one.vcpus },
    dependent: { type: "dependent" },
  };
  return {
    name: one.name,
    family: "balanced",
    status: "current",
    vcpu_architecture: { type: "fixed", value: one.architecture },
    vcpu_count: forms[one.form ?? "fixed"],
    memory: { type: "fixed", value: one.memoryGiB },
    ...(one.gpus === undefined ? {} : { gpu_count: { type: "fixed", value: one.gpus } }),
    confidential_compute_modes: one.modes
      ? { type: "enum", default: one.modes[0], values: one.modes }
      : { type: "enum", default: "disabled" },
    secure_boot_modes:
      one.architecture === "s390x"
        ? { type: "enum", default: false, values: [false] }
        : { type: "enum", default: false, values: [false, true] },
    ...(one.zones ? { zones: one.zones.map((name) => ({ name })) } : {}),
  };
}
