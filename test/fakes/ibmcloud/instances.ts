import { IbmRefusal } from "./answers.ts";
import { parseBody } from "./parse.ts";
import { type AttachmentBody, InstanceBody } from "./schemas.ts";
import type { FakeHost, FakeProfile } from "./settings.ts";
import type { FakeInstance, World } from "./world.ts";

/** POST /instances: checks everything that VPC checks before it accepts, and begins to make the instance. */
export function createInstance(world: World, text: string): FakeInstance {
  const { clock, settings } = world;
  const body = parseBody(InstanceBody, text);
  const name = body.name ?? `instance-${world.number()}`;
  const profile = checkProfile(world, body);
  checkReferences(world, body);
  checkNetwork(world, body);
  const taken = [...world.instances.values()].some((one) => one.name === name);
  if (taken)
    throw new IbmRefusal(
      400,
      "validation_unique_failed",
      `Instance name ${name} already exists in the region`,
    );
  checkQuota(world, profile);
  const full = settings.full[`${profile.name}/${body.zone.name}`] ?? settings.full[profile.name];
  checkHost(world, body);
  if (full === "refuse") {
    throw new IbmRefusal(503, "insufficient_capacity", `insufficient capacity in zone ${body.zone.name}`);
  }
  const id = world.id("02b7");
  const instance: FakeInstance = {
    id,
    crn: `crn:v1:bluemix:public:is:${body.zone.name}:a/fake::instance:${id}`,
    name,
    body,
    vcpus: profile.vcpus,
    createdAtMs: clock.wallMs(),
    status: "pending",
    reasons: [],
    volumeId: makeVolume(world, { body, name, instanceId: id }),
    vniIds: [body.primary_network_attachment, ...(body.network_attachments ?? [])].map((one) =>
      makeVni(world, one, id),
    ),
    addresses: [],
    addressesFromMs: Number.POSITIVE_INFINITY,
    listedFromMs: clock.monotonicMs() + settings.listLagMs,
    stop: new AbortController(),
  };
  world.instances.set(id, instance);
  void start(world, instance, full === "later");
  return instance;
}

function checkProfile(world: World, body: InstanceBody): FakeProfile {
  const name = body.profile?.name ?? "bxf-2x8";
  const profile = world.settings.profiles.find((one) => one.name === name);
  if (!profile) throw new IbmRefusal(400, "instance_profile_not_found", `Instance profile ${name} not found`);
  if (profile.zones && !profile.zones.includes(body.zone.name)) {
    throw new IbmRefusal(
      400,
      "instance_profile_not_available",
      `Profile ${name} is not available in ${body.zone.name}`,
    );
  }
  const mode = body.confidential_compute_mode;
  if (mode !== undefined && !profile.modes?.includes(mode)) {
    throw new IbmRefusal(
      400,
      "invalid_confidential_compute_mode",
      `confidential_compute_mode ${mode} is not supported by the profile`,
    );
  }
  if (body.enable_secure_boot && profile.architecture === "s390x") {
    throw new IbmRefusal(400, "invalid_secure_boot", "enable_secure_boot is not supported by the profile");
  }
  const nics = 1 + (body.network_attachments?.length ?? 0);
  if (nics > 5)
    throw new IbmRefusal(400, "too_many_network_attachments", "the profile allows fewer attachments");
  return profile;
}

function checkReferences(world: World, body: InstanceBody): void {
  const { settings } = world;
  const image = settings.images.find((one) => one.id === body.image.id);
  if (!image) throw new IbmRefusal(404, "image_not_found", `Image ${body.image.id} not found`);
  if (!["available", "deprecated", "partially_available"].includes(image.status)) {
    throw new IbmRefusal(400, "image_unavailable", `Image ${image.id} is ${image.status}`);
  }
  const profile = settings.profiles.find((one) => one.name === body.profile?.name);
  if (profile && image.architecture !== profile.architecture) {
    throw new IbmRefusal(
      400,
      "image_architecture_mismatch",
      `Image ${image.id} does not match the profile's architecture`,
    );
  }
  if (body.resource_group && body.resource_group.id !== settings.resourceGroupId) {
    throw new IbmRefusal(404, "resource_group_not_found", "Resource group not found");
  }
  for (const { id } of body.keys ?? []) {
    if (!settings.keys.includes(id)) throw new IbmRefusal(404, "key_not_found", `Key ${id} not found`);
  }
  for (const { volume } of body.volume_attachments ?? []) {
    const found = world.volumes.get(volume.id);
    if (!found) throw new IbmRefusal(404, "volume_not_found", `Volume ${volume.id} not found`);
    if (found.instance !== "") throw new IbmRefusal(409, "volume_in_use", `Volume ${volume.id} is attached`);
    if (found.zone !== body.zone.name)
      throw new IbmRefusal(400, "volume_zone_mismatch", "the volume is in another zone");
  }
}

function checkNetwork(world: World, body: InstanceBody): void {
  const { settings } = world;
  for (const one of [body.primary_network_attachment, ...(body.network_attachments ?? [])]) {
    const vni = one.virtual_network_interface;
    const subnet = settings.subnets.find(({ id }) => id === vni.subnet?.id);
    if (!subnet) throw new IbmRefusal(404, "subnet_not_found", `Subnet ${vni.subnet?.id} not found`);
    if (subnet.vpcId !== body.vpc?.id)
      throw new IbmRefusal(400, "vpc_mismatch", "the subnet is in another VPC");
    if (subnet.zone !== body.zone.name)
      throw new IbmRefusal(400, "zone_mismatch", "the subnet is in another zone");
    for (const { id } of vni.security_groups ?? []) {
      const group = settings.securityGroups.find((candidate) => candidate.id === id);
      if (!group) throw new IbmRefusal(404, "security_group_not_found", `Security group ${id} not found`);
      if (group.vpcId !== subnet.vpcId)
        throw new IbmRefusal(400, "vpc_mismatch", "the group is in another VPC");
    }
    const taken = [...world.vnis.values()].some((other) => other.name === vni.name);
    if (taken) {
      throw new IbmRefusal(
        400,
        "validation_unique_failed",
        "Another VNI with the requested name already exists",
      );
    }
  }
  const volume = body.boot_volume_attachment?.volume.name;
  if ([...world.volumes.values()].some((other) => other.name === volume)) {
    throw new IbmRefusal(400, "validation_unique_failed", `Volume name ${volume} already exists`);
  }
}

/** The text is that of a real report (fedora-copr issue 2829). */
function checkQuota(world: World, profile: FakeProfile): void {
  const { limit, used } = world.settings.quota;
  const allocated = [...world.instances.values()].reduce((sum, one) => sum + one.vcpus, used);
  if (allocated + profile.vcpus <= limit) return;
  throw new IbmRefusal(
    400,
    "over_quota",
    `Provisioning 1 instance(s) with ${profile.vcpus} vCPUs will put user over quota. Allocated to instances: ${allocated}. Requested: ${profile.vcpus}. Quota: ${limit}`,
  );
}

function checkHost(world: World, body: InstanceBody): void {
  const target = body.placement_target?.id;
  if (target === undefined) return;
  const host: FakeHost | undefined = world.settings.hosts.find(({ id }) => id === target);
  if (!host) throw new IbmRefusal(404, "placement_target_not_found", `Placement target ${target} not found`);
  if (body.confidential_compute_mode === "tdx") {
    throw new IbmRefusal(
      400,
      "dedicated_host_unsupported",
      "the profile is not supported on a dedicated host",
    );
  }
  if (host.disabled) {
    throw new IbmRefusal(
      409,
      "dedicated_host_disabled",
      `Dedicated host ${target} is disabled for instance placement`,
    );
  }
  if (host.full)
    throw new IbmRefusal(400, "dedicated_host_capacity", `insufficient capacity in zone ${host.zone}`);
}

function makeVolume(
  world: World,
  of: { readonly body: InstanceBody; readonly name: string; readonly instanceId: string },
): string {
  const boot = of.body.boot_volume_attachment;
  const id = world.id("r010-vol");
  world.volumes.set(id, {
    id,
    name: boot?.volume.name ?? `${of.name}-disk`,
    zone: of.body.zone.name,
    tags: boot?.volume.user_tags ?? [],
    createdAtMs: world.clock.wallMs(),
    instance: of.instanceId,
    deleteWithInstance: boot?.delete_volume_on_instance_delete ?? true,
  });
  for (const { volume } of of.body.volume_attachments ?? []) {
    const attached = world.volumes.get(volume.id);
    if (attached) attached.instance = of.instanceId;
  }
  return id;
}

function makeVni(world: World, attachment: AttachmentBody, instanceId: string): string {
  const vni = attachment.virtual_network_interface;
  const id = world.id("02b7-vni");
  world.vnis.set(id, {
    id,
    name: vni.name ?? `vni-${world.number()}`,
    subnetId: vni.subnet?.id ?? "",
    instance: instanceId,
    autoDelete: vni.auto_delete ?? false,
  });
  return id;
}

async function start(world: World, instance: FakeInstance, full: boolean): Promise<void> {
  const { clock, settings } = world;
  const { signal } = instance.stop;
  try {
    await clock.sleep(settings.createMs / 4, signal);
    instance.status = "starting";
    await clock.sleep((settings.createMs * 3) / 4, signal);
    const reason = startProblem(world, instance, full);
    if (reason !== undefined) {
      instance.status = "failed";
      instance.reasons = [
        { code: reason, message: `The virtual server instance could not be started: ${reason}` },
      ];
      return;
    }
    const addresses = await world.booter.boot(
      {
        name: instance.name,
        tags: Object.fromEntries(
          (instance.body.boot_volume_attachment?.volume.user_tags ?? []).map((tag) => tag.split(":", 2)),
        ),
        userData: instance.body.user_data ?? "",
        interfaces: instance.vniIds.length,
      },
      signal,
    );
    if (signal.aborted) return;
    instance.addresses = addresses;
    instance.addressesFromMs = clock.monotonicMs() + settings.addressDelayMs;
    instance.status = "running";
  } catch (error) {
    // Deleted while it started; else the machine did not come up.
    if (signal.aborted) return;
    instance.status = "failed";
    instance.reasons = [{ code: "cannot_start", message: String(error) }];
  }
}

function startProblem(world: World, instance: FakeInstance, full: boolean): string | undefined {
  const { settings } = world;
  if (full) return "cannot_start_capacity";
  if (settings.bootFailures > 0) {
    settings.bootFailures -= 1;
    return "cannot_start_compute";
  }
  const image = settings.images.find(({ id }) => id === instance.body.image.id);
  const profile = instance.body.profile?.name ?? "";
  const starts = /^[a-z]z\de-/.test(profile) === (image?.secureExecution ?? false);
  return starts ? undefined : "cannot_start";
}

/** DELETE /instances/{id}: accepted at once, done later. */
export function beginDelete(world: World, instance: FakeInstance): void {
  if (instance.status === "deleting") return;
  instance.status = "deleting";
  instance.stop.abort();
  world.clock.schedule(world.settings.deleteMs, () => {
    void world.booter.kill(instance.name).then(() => removeInstance(world, instance));
  });
}

/** The instance is gone; what was made with it follows. */
export function removeInstance(world: World, instance: FakeInstance): void {
  instance.stop.abort();
  world.instances.delete(instance.id);
  const { forget } = world.settings;
  for (const volume of world.volumes.values()) {
    if (volume.instance === instance.id && volume.id !== instance.volumeId) volume.instance = "";
  }
  world.clock.schedule(world.settings.companionLagMs, () => {
    const volume = world.volumes.get(instance.volumeId);
    if (volume?.deleteWithInstance && !forget.includes("volume")) world.volumes.delete(volume.id);
    else if (volume) volume.instance = "";
    for (const id of instance.vniIds) {
      const vni = world.vnis.get(id);
      if (vni?.autoDelete && !forget.includes("vni")) world.vnis.delete(id);
      else if (vni) vni.instance = "";
    }
  });
}
