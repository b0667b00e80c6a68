import { describeError, isCaaError } from "../../src/errors/index.ts";
import { fileMode } from "../../src/platform/index.ts";
import type { Finding } from "../contract.ts";
import { normalRegion, parseArmId } from "./arm/index.ts";
import { type AzureDeps, translator } from "./deps.ts";
import { chooseImage } from "./image.ts";
import type { AzureSize } from "./sizes.ts";

type Check = (deps: AzureDeps, signal: AbortSignal) => Promise<readonly Finding[]>;

const ok = (check: string, text: string): Finding => ({ check, level: "ok", text });
const warning = (check: string, text: string): Finding => ({ check, level: "warning", text });
const failed = (check: string, text: string): Finding => ({ check, level: "error", text });

/** Looks at everything a pod VM will need and reports it, one line each. Throws only `cancelled`. */
export async function verifyAzure(deps: AzureDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const signedIn = await run(deps, signal, "credentials", checkCredentials);
  // Without a token every other check would say the same again.
  if (signedIn.some((finding) => finding.level === "error")) return signedIn;
  const rest = await Promise.all([
    run(deps, signal, "ssh key", checkKey),
    run(deps, signal, "resource group", checkGroup),
    run(deps, signal, "subnet", checkSubnet),
    run(deps, signal, "image", checkImage),
    run(deps, signal, "sizes", checkSizes),
    run(deps, signal, "quota", checkQuota),
  ]);
  return [...signedIn, ...rest.flat()];
}

async function run(
  deps: AzureDeps,
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

async function checkCredentials(deps: AzureDeps): Promise<readonly Finding[]> {
  await deps.clients.signIn();
  return [ok("credentials", `signed in to ${deps.config.authorityHost} (${deps.config.identity.kind})`)];
}

const KEY_FILE_MODE = 0o600;

async function checkKey(deps: AzureDeps): Promise<readonly Finding[]> {
  if (deps.config.sshKeyPath === "") return [];
  const { sshKeyPath } = deps.config;
  await deps.sshPublicKey();
  const mode = await fileMode(sshKeyPath);
  return mode === KEY_FILE_MODE
    ? [ok("ssh key", sshKeyPath)]
    : [
        warning(
          "ssh key",
          `${sshKeyPath} has mode ${mode.toString(8)}: make it 600, which the Go adaptor demands`,
        ),
      ];
}

async function checkGroup(deps: AzureDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const { resourceGroup } = deps.config;
  const vms = await deps.groups.get(resourceGroup).vms.get(signal);
  return [ok("resource group", `${resourceGroup} has ${vms.length} VMs`)];
}

/** Azure keeps the first four addresses of a subnet and the last one. */
const RESERVED_ADDRESSES = 5;
const FEW_ADDRESSES = 16;

async function checkSubnet(deps: AzureDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const id = parseArmId(deps.config.subnetId);
  const name = id?.children[0]?.[1];
  if (!id || name === undefined) return [failed("subnet", `${deps.config.subnetId} is not a subnet's id`)];
  const subnet = await deps.clients.network.subnets.get(id.resourceGroup, id.name, name, {
    abortSignal: signal,
  });
  const prefixes = subnet.addressPrefix ? [subnet.addressPrefix] : (subnet.addressPrefixes ?? []);
  const v4 = prefixes.filter((prefix) => !prefix.includes(":"));
  if (v4.length === 0) return [failed("subnet", `${name} has no IPv4 range: pod VMs need one`)];
  const total = v4.reduce((sum, prefix) => sum + 2 ** (32 - Number(prefix.split("/")[1] ?? 32)), 0);
  const free = total - RESERVED_ADDRESSES * v4.length - (subnet.ipConfigurations?.length ?? 0);
  const findings =
    free < FEW_ADDRESSES
      ? [
          warning(
            "subnet",
            `${name} (${v4.join(", ")}) has room for about ${Math.max(0, free)} more VMs: enlarge it`,
          ),
        ]
      : [ok("subnet", `${name} (${v4.join(", ")}), about ${free} free addresses`)];
  const hasEgress = subnet.natGateway !== undefined || subnet.routeTable !== undefined;
  if (hasEgress || deps.config.publicIp) return findings;
  return [
    ...findings,
    warning(
      "subnet",
      `${name} has neither a NAT gateway nor a route table: pod VMs may have no way out to registries`,
    ),
  ];
}

async function checkImage(deps: AzureDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const image = chooseImage(deps.config.imageId);
  const { compute } = deps.clients;
  const options = { abortSignal: signal };
  const region = normalRegion(deps.config.region);
  if ("communityGalleryImageId" in image || "sharedGalleryImageId" in image) {
    const community = "communityGalleryImageId" in image;
    const words = (community ? image.communityGalleryImageId : image.sharedGalleryImageId).split("/");
    const [gallery = "", name = "", version = ""] = [words[2], words[4], words[6]];
    const images = community ? compute.communityGalleryImages : compute.sharedGalleryImages;
    const versions = community ? compute.communityGalleryImageVersions : compute.sharedGalleryImageVersions;
    if (version === "") await images.get(region, gallery, name, options);
    else await versions.get(region, gallery, name, version, options);
    return [ok("image", deps.config.imageId)];
  }
  if (!("id" in image)) return [ok("image", `${deps.config.imageId} (a platform image, not looked up)`)];
  const id = parseArmId(image.id);
  const [, name = ""] = id?.children[0] ?? [];
  const [, version] = id?.children[1] ?? [];
  if (!id) return [failed("image", `${image.id} is not an image's id`)];
  if (name === "") await compute.images.get(id.resourceGroup, id.name, options);
  else if (version === undefined || version === "latest") {
    await compute.galleryImages.get(id.resourceGroup, id.name, name, options);
  } else {
    const found = await compute.galleryImageVersions.get(id.resourceGroup, id.name, name, version, options);
    const regions = (found.publishingProfile?.targetRegions ?? []).map((one) => normalRegion(one.name));
    if (regions.length > 0 && !regions.includes(region)) {
      return [
        failed("image", `${name} ${version} is not replicated to ${region}, only to ${regions.join(", ")}`),
      ];
    }
  }
  return [ok("image", deps.config.imageId)];
}

async function checkSizes(deps: AzureDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const { config } = deps;
  const offered = await deps.sizes.load(signal);
  const names = [...new Set([config.defaultSize, ...config.allowedSizes])];
  const findings = names.map((name) => {
    const size = offered.find((one) => one.name === name);
    if (!size) {
      const text = `${name} is not offered to this subscription in ${config.region}: choose another`;
      return name === config.defaultSize ? failed("sizes", text) : warning("sizes", text);
    }
    return checkSize(deps, size);
  });
  const unlisted = config.allowedSizes.length > 0 && !config.allowedSizes.includes(config.defaultSize);
  return unlisted
    ? [
        ...findings,
        warning(
          "sizes",
          `the default ${config.defaultSize} is not in AZURE_INSTANCE_SIZES: pods cannot name it`,
        ),
      ]
    : findings;
}

function checkSize(deps: AzureDeps, size: AzureSize): Finding {
  const { config } = deps;
  const missing = config.zones.filter((zone) => !size.zones.includes(zone));
  if (missing.length > 0)
    return warning("sizes", `${size.name} is not offered in zone ${missing.join(", ")}`);
  const asConfidential =
    config.confidential && size.epcMiB === 0 && !config.ordinarySizes.includes(size.name);
  if (asConfidential && size.confidentialType === "") {
    return warning(
      "sizes",
      `Azure does not list ${size.name} as a confidential size: choose a DCas, ECas, DCes or ECes size, or set DISABLECVM=true`,
    );
  }
  const kind = asConfidential
    ? `confidential (${size.confidentialType})`
    : size.epcMiB > 0
      ? `SGX, ${size.epcMiB} MiB`
      : "ordinary";
  return ok("sizes", `${size.name}: ${size.vcpus} vCPU, ${size.memoryMiB} MiB, ${kind}`);
}

async function checkQuota(deps: AzureDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const room = await roomFor(deps, signal);
  if (room === undefined) return [warning("quota", `the quota of ${deps.config.defaultSize} is not known`)];
  const text = `room for ${room} more VMs of ${deps.config.defaultSize}`;
  return [room === 0 ? warning("quota", `${text}: ask Azure for more cores`) : ok("quota", text)];
}

/** How many more VMs of the default size the subscription's core quotas (of the family, and in all) allow; undefined when not known. */
export async function roomFor(deps: AzureDeps, signal: AbortSignal): Promise<number | undefined> {
  const sizes = await deps.sizes.load(signal);
  const size = sizes.find((one) => one.name === deps.config.defaultSize);
  if (!size || size.vcpus === 0) return undefined;
  const wanted = new Set([size.family.toLowerCase(), "cores"]);
  let cores: number | undefined;
  try {
    for await (const usage of deps.clients.compute.usage.list(normalRegion(deps.config.region), {
      abortSignal: signal,
    })) {
      if (!wanted.has((usage.name.value ?? "").toLowerCase())) continue;
      cores = Math.min(cores ?? Number.POSITIVE_INFINITY, usage.limit - usage.currentValue);
    }
  } catch (error) {
    throw translator(deps, signal)(error, "read the quota");
  }
  return cores === undefined ? undefined : Math.max(0, Math.floor(cores / size.vcpus));
}
