import { invalidConfig } from "../../../src/errors/index.ts";

/** Regions of IBM Cloud VPC (VPC documentation, August 2026). */
const REGIONS: readonly string[] = [
  "au-syd",
  "br-sao",
  "ca-mon",
  "ca-tor",
  "eu-de",
  "eu-es",
  "eu-gb",
  "in-che",
  "in-mum",
  "jp-osa",
  "jp-tok",
  "us-east",
  "us-south",
];

/** Where TDX profiles are offered (VPC documentation, August 2026). */
export const TDX_REGIONS: readonly string[] = ["us-south", "us-east", "eu-de"];

/** The region of a zone: `eu-de-2` is in `eu-de`. "" for what is not a zone's name. */
export function regionOf(zone: string): string {
  return /^([a-z]+(?:-[a-z]+)+)-\d+$/.exec(zone)?.[1] ?? "";
}

/** The VPC endpoint of a zone's region. Throws `invalid-config` for a region that IBM does not have: its name would not resolve. */
export function vpcEndpoint(zone: string): string {
  const region = regionOf(zone);
  if (!REGIONS.includes(region)) {
    throw invalidConfig(
      `IBMCLOUD_ZONE is ${JSON.stringify(zone)}, which is in no region we know (${REGIONS.join(", ")}): correct it, or set IBMCLOUD_VPC_ENDPOINT`,
    );
  }
  return `https://${region}.iaas.cloud.ibm.com/v1`;
}
