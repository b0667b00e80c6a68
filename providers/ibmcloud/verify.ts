import { describeError, isCaaError } from "../../src/errors/index.ts";
import type { Finding } from "../contract.ts";
import { isLinuxOne, LINUXONE_NOTE, regionOf, TDX_REGIONS } from "./api/index.ts";
import { type IbmDeps, translator } from "./deps.ts";
import { chooseImage, type IbmImage, imageProblem } from "./images.ts";
import type { IbmProfile } from "./profiles.ts";
import { canServe, notOffered, unservable } from "./tee.ts";

type Check = (deps: IbmDeps, signal: AbortSignal) => Promise<readonly Finding[]>;

const ok = (check: string, text: string): Finding => ({ check, level: "ok", text });
const warning = (check: string, text: string): Finding => ({ check, level: "warning", text });
const failed = (check: string, text: string): Finding => ({ check, level: "error", text });

/** Looks at everything a pod VM will need and reports it, one line each. Throws only `cancelled`. */
export async function verifyIbm(deps: IbmDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const signedIn = await run(deps, signal, "credentials", checkCredentials);
  // Without a token, or without a place, every other check would say the same again.
  if (signedIn.some(isError)) return signedIn;
  const place = await run(deps, signal, "place", checkPlace);
  if (place.some(isError)) return [...signedIn, ...place];
  const rest = await Promise.all([
    run(deps, signal, "subnet", checkSubnets),
    run(deps, signal, "security groups", checkSecurityGroups),
    run(deps, signal, "ssh key", checkKey),
    run(deps, signal, "profiles", checkProfiles),
    run(deps, signal, "images", checkImages),
    run(deps, signal, "quota", checkQuota),
  ]);
  return [...signedIn, ...place, ...rest.flat()];
}

function isError(finding: Finding): boolean {
  return finding.level === "error";
}

async function run(
  deps: IbmDeps,
  signal: AbortSignal,
  name: string,
  check: Check,
): Promise<readonly Finding[]> {
  try {
    return await check(deps, signal);
  } catch (error) {
    const problem = translator(deps, signal)(error, `check the ${name}`);
    if (isCaaError(problem, "cancelled")) throw problem;
    return [failed(name, describeError(problem))];
  }
}

async function checkCredentials(deps: IbmDeps): Promise<readonly Finding[]> {
  await deps.api.signIn();
  return [ok("credentials", `signed in to IBM Cloud (${deps.config.identity.kind})`)];
}

async function checkPlace(deps: IbmDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const site = await deps.site(signal);
  const zones = site.spots.map(({ zone }) => zone).join(", ");
  const instances = await deps.fleet.instances.get(signal);
  const hosts = [site.hostId, site.groupId].filter((id) => id !== "").join(", then ");
  const text = `VPC ${site.vpcId} in ${zones}, which has ${instances.length} instances`;
  return [ok("place", hosts === "" ? text : `${text}; dedicated to us: ${hosts}`)];
}

const FEW_ADDRESSES = 16;

async function checkSubnets(deps: IbmDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const site = await deps.site(signal);
  const { secondarySubnetId } = deps.config;
  const spots = [
    ...site.spots,
    ...(secondarySubnetId === "" ? [] : [{ subnetId: secondarySubnetId, zone: site.spots[0]?.zone ?? "" }]),
  ];
  const checked = await Promise.all(
    spots.map(async ({ subnetId, zone }): Promise<readonly Finding[]> => {
      const subnet = await deps.api.subnet(subnetId, signal);
      const name = `${subnet.name || subnetId} (${subnet.ipv4_cidr_block})`;
      if (subnet.vpc && subnet.vpc.id !== site.vpcId) {
        return [
          failed(
            "subnet",
            `${name} is in VPC ${subnet.vpc.id}, not in ${site.vpcId}: correct IBMCLOUD_VPC_ID`,
          ),
        ];
      }
      if (subnet.zone && subnet.zone.name !== zone) {
        return [
          failed("subnet", `${name} is in zone ${subnet.zone.name}, not in ${zone}: correct IBMCLOUD_ZONE`),
        ];
      }
      const free = subnet.available_ipv4_address_count;
      const room =
        free !== undefined && free < FEW_ADDRESSES
          ? warning("subnet", `${name} has ${free} free addresses: use a larger one`)
          : ok("subnet", `${name}${free === undefined ? "" : `, ${free} free addresses`}`);
      if (subnet.public_gateway) return [room];
      return [
        room,
        warning("subnet", `${name} has no public gateway: pod VMs may have no way out to registries`),
      ];
    }),
  );
  return checked.flat();
}

async function checkSecurityGroups(deps: IbmDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const site = await deps.site(signal);
  const ids = [...site.securityGroupIds, deps.config.secondarySecurityGroupId].filter((id) => id !== "");
  if (ids.length === 0) {
    return [
      warning(
        "security groups",
        "none is set, so the VPC's default group must let the node reach port 15150",
      ),
    ];
  }
  return await Promise.all(
    ids.map(async (id) => {
      const group = await deps.api.securityGroup(id, signal);
      return group.vpc && group.vpc.id !== site.vpcId
        ? failed(
            "security groups",
            `${group.name || id} is in VPC ${group.vpc.id}, not in ${site.vpcId}: take it out`,
          )
        : ok("security groups", group.name || id);
    }),
  );
}

async function checkKey(deps: IbmDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  if (deps.config.keyId === "") return [];
  const key = await deps.api.key(deps.config.keyId, signal);
  return [ok("ssh key", key.name || key.id)];
}

async function checkProfiles(deps: IbmDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const { config } = deps;
  const site = await deps.site(signal);
  const zones = site.spots.map(({ zone }) => zone);
  const known = await deps.profiles.load(signal);
  const names = [...new Set([config.defaultProfile, ...config.allowedProfiles])];
  const findings = names.map((name) => {
    const isDefault = name === config.defaultProfile;
    const complain = isDefault ? failed : warning;
    const profile = known.get(name);
    if (!profile)
      return failed("profiles", notOffered(name, `in ${regionOf(zones[0] ?? "") || "this region"}`));
    if (profile.zones && !zones.some((zone) => profile.zones?.includes(zone))) {
      return complain("profiles", notOffered(name, `in ${zones.join(", ")}`));
    }
    const wish = { confidential: config.confidential, epc: false };
    if (!canServe(profile, wish)) return complain("profiles", unservable(profile, wish).message);
    if (isLinuxOne(name)) return warning("profiles", `${describeProfile(profile)}. ${LINUXONE_NOTE}`);
    return ok("profiles", describeProfile(profile));
  });
  return [...findings, ...tdxRegion(deps, zones[0] ?? ""), ...unlistedDefault(deps)];
}

function tdxRegion(deps: IbmDeps, zone: string): readonly Finding[] {
  const region = regionOf(zone);
  if (!deps.config.confidential || isLinuxOne(deps.config.defaultProfile)) return [];
  return TDX_REGIONS.includes(region)
    ? []
    : [warning("profiles", `IBM documents TDX for ${TDX_REGIONS.join(", ")}, not for ${region}`)];
}

function unlistedDefault(deps: IbmDeps): readonly Finding[] {
  const { allowedProfiles, defaultProfile } = deps.config;
  if (allowedProfiles.length === 0 || allowedProfiles.includes(defaultProfile)) return [];
  const key = "IBMCLOUD_PODVM_INSTANCE_PROFILE_LIST";
  return [warning("profiles", `the default ${defaultProfile} is not in ${key}: pods cannot name it`)];
}

function describeProfile(profile: IbmProfile): string {
  const tee = profile.secureExecution
    ? "Secure Execution"
    : profile.modes?.includes("tdx")
      ? "can be TDX"
      : "ordinary";
  return `${profile.name}: ${profile.vcpus} vCPU, ${profile.memoryMiB} MiB, ${profile.architecture}, ${tee}`;
}

async function checkImages(deps: IbmDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const site = await deps.site(signal);
  const zone = site.spots[0]?.zone ?? "";
  const known = await deps.profiles.load(signal);
  const images = await deps.images.configured(signal);
  const missing = deps.config.imageIds
    .filter((id) => !images.some((image) => image.id === id))
    .map((id) =>
      warning("images", `${id} does not exist, or is not shared with this account: it is left out`),
    );
  const standard = known.get(deps.config.defaultProfile);
  const wish = {
    architecture: standard?.architecture ?? "",
    ...(standard ? { secureExecution: standard.secureExecution } : {}),
    zone,
  };
  const chosen = chooseImage(images, wish);
  const unmarked =
    standard?.secureExecution && chosen.secureExecution === "unknown"
      ? [
          warning(
            "images",
            `nothing says whether ${chosen.id} is a Secure Execution image: name it in IBMCLOUD_SE_IMAGE_IDS`,
          ),
        ]
      : [];
  return [...missing, ...images.map((image) => describeImage(image, zone)), ...unmarked];
}

function describeImage(image: IbmImage, zone: string): Finding {
  const problem = imageProblem(image, { architecture: "", zone });
  const name = image.name === "" ? image.id : `${image.id} (${image.name})`;
  return problem === undefined
    ? ok("images", `${name}: ${image.architecture}, ${image.osName || "unknown system"}`)
    : warning("images", `${name} ${problem}`);
}

/** IBM's default for vCPUs of all instances in a region; it does not tell an account's own through an API. */
const DEFAULT_VCPU_QUOTA = 200;

async function checkQuota(deps: IbmDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const all = await Array.fromAsync(deps.api.instances({}, signal));
  const used = all.reduce((sum, instance) => sum + (instance.vcpu?.count ?? 0), 0);
  const standard = (await deps.profiles.load(signal)).get(deps.config.defaultProfile);
  const text = `${used} vCPUs in use in the region; IBM's default quota is ${DEFAULT_VCPU_QUOTA}, yours may differ`;
  return [used + (standard?.vcpus ?? 0) > DEFAULT_VCPU_QUOTA ? warning("quota", text) : ok("quota", text)];
}
