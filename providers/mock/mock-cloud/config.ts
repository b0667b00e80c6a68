import { createHash } from "node:crypto";
import { isAbsolute, join } from "node:path";
import { invalidConfig } from "../../../src/errors/index.ts";
import { installedProgram } from "../../../src/platform/index.ts";
import type { OptionReader, OptionSpec } from "../../contract.ts";
import { parseSubnet } from "./addresses.ts";

/** Where the machine room listens unless told otherwise. */
export const DEFAULT_SOCKET = "/run/peerpod-mock/cloud.sock";

/** How the cloud behaves; may be changed while it runs. Durations in milliseconds. */
export interface CloudSettings {
  /** From the create to the VM's first process. */
  readonly bootDelayMs: number;
  /** From the create until the VM's tags can be seen and searched. */
  readonly tagDelayMs: number;
  /** From the VM running to its addresses being shown. */
  readonly addressDelayMs: number;
  /** From the delete to the VM being taken down. */
  readonly deleteDelayMs: number;
  /** Most VMs that may exist, deleting ones included; 0 is no limit. */
  readonly quota: number;
  /** Most bytes of user data. */
  readonly userDataLimitBytes: number;
  /** VMs in one page of a list. */
  readonly pageSize: number;
}

/** The machine room's configuration, validated. */
export interface MockCloudConfig {
  readonly socket: string;
  /** Tells machine rooms on one machine apart: cgroups and files carry it, and a new start cleans up what the last one of that name left. */
  readonly instance: string;
  /** Files of the VMs; absolute. */
  readonly stateDir: string;
  readonly bridge: string;
  /** IPv4 prefix of the node network; the bridge has its first address. */
  readonly subnet: string;
  /** Addresses of VMs that are plain processes; inside 127.0.0.0/8. */
  readonly rootlessSubnet: string;
  /** The default image's executable. */
  readonly image: string;
  /** Folder of executables that a pod may name; "" when there is none. */
  readonly imagesDir: string;
  readonly rootless: "auto" | "true" | "false";
  readonly settings: CloudSettings;
}

/** Behaviour without any injected delay or limit. */
export const DEFAULT_SETTINGS: CloudSettings = {
  bootDelayMs: 0,
  tagDelayMs: 0,
  addressDelayMs: 0,
  deleteDelayMs: 0,
  quota: 0,
  userDataLimitBytes: 64 * 1024,
  pageSize: 100,
};

const ROOTLESS_VALUES = ["auto", "true", "false"] as const;

const isRootless = (text: string): text is MockCloudConfig["rootless"] =>
  ROOTLESS_VALUES.some((value) => value === text);

const plainPath = (text: string): string | undefined =>
  isAbsolute(text) && /^[\w./@+-]+$/.test(text)
    ? undefined
    : "give an absolute path of letters, digits and . _ / @ + -";

const subnetCheck = (text: string): string | undefined =>
  parseSubnet(text) ? undefined : "give an IPv4 prefix between /8 and /29, for example 10.77.0.0/24";

const instanceCheck = (text: string): string | undefined =>
  /^[a-z0-9][a-z0-9-]{0,31}$/.test(text) ? undefined : "give at most 32 of a-z, 0-9 and -";

const bridgeCheck = (text: string): string | undefined =>
  /^[a-z][a-z0-9-]{0,14}$/.test(text) ? undefined : "give at most 15 of a-z, 0-9 and -";

const countCheck = (text: string): string | undefined =>
  Number(text) >= 0 ? undefined : "give a number that is not negative";

const positiveCheck = (text: string): string | undefined =>
  Number(text) > 0 ? undefined : "give a number greater than 0";

/** Options of `cloud-api-adaptor mock-cloud`. */
export const MOCK_CLOUD_OPTIONS: readonly OptionSpec[] = [
  {
    flag: "socket",
    env: "MOCK_CLOUD_SOCKET",
    kind: "string",
    default: DEFAULT_SOCKET,
    help: "Unix socket of the machine room's API.",
    validate: plainPath,
  },
  {
    flag: "instance",
    env: "MOCK_CLOUD_INSTANCE",
    kind: "string",
    help: "Name of this machine room, used by no other; a new start removes what an earlier one of that name left behind. Unset: made from the socket's path.",
    validate: instanceCheck,
  },
  {
    flag: "state-dir",
    env: "MOCK_CLOUD_STATE_DIR",
    kind: "string",
    help: "Folder for the VMs' files; unset: a folder named after the instance, beside the socket.",
    validate: plainPath,
  },
  {
    flag: "bridge",
    env: "MOCK_CLOUD_BRIDGE",
    kind: "string",
    default: "ppmock0",
    help: "Bridge that the VMs are attached to; made at start in the network namespace of this process.",
    validate: bridgeCheck,
  },
  {
    flag: "subnet",
    env: "MOCK_CLOUD_SUBNET",
    kind: "string",
    default: "10.77.0.0/24",
    help: "IPv4 prefix of the bridge and the VMs; the bridge has the first address.",
    validate: subnetCheck,
  },
  {
    flag: "rootless-subnet",
    env: "MOCK_CLOUD_ROOTLESS_SUBNET",
    kind: "string",
    default: "127.77.0.0/16",
    help: "Loopback addresses given to VMs that are plain processes.",
    validate: (text) =>
      text.startsWith("127.") ? subnetCheck(text) : "give an IPv4 prefix inside 127.0.0.0/8",
  },
  {
    flag: "image",
    env: "MOCK_CLOUD_IMAGE",
    kind: "string",
    help: "Executable that a VM boots by default; unset: the guest of this program.",
    validate: plainPath,
  },
  {
    flag: "images-dir",
    env: "MOCK_CLOUD_IMAGES_DIR",
    kind: "string",
    help: "Folder of executables; the image annotation of a pod names one of them.",
    validate: plainPath,
  },
  {
    flag: "rootless",
    env: "MOCK_CLOUD_ROOTLESS",
    kind: "string",
    default: "auto",
    help: "VMs are plain processes on loopback addresses: true, false, or auto (when namespaces cannot be made).",
    validate: (text) => (isRootless(text) ? undefined : "give auto, true or false"),
  },
  {
    flag: "boot-delay",
    env: "MOCK_CLOUD_BOOT_DELAY",
    kind: "duration",
    help: "Time from the create to the VM's first process.",
  },
  {
    flag: "tag-delay",
    env: "MOCK_CLOUD_TAG_DELAY",
    kind: "duration",
    help: "Time from the create until the VM's tags can be seen.",
  },
  {
    flag: "address-delay",
    env: "MOCK_CLOUD_ADDRESS_DELAY",
    kind: "duration",
    help: "Time from the VM running to its addresses being shown.",
  },
  {
    flag: "delete-delay",
    env: "MOCK_CLOUD_DELETE_DELAY",
    kind: "duration",
    help: "Time from the delete to the VM being taken down.",
  },
  {
    flag: "quota",
    env: "MOCK_CLOUD_QUOTA",
    kind: "int",
    default: "0",
    help: "Most VMs that may exist at once; 0 is no limit.",
    validate: countCheck,
  },
  {
    flag: "user-data-limit",
    env: "MOCK_CLOUD_USER_DATA_LIMIT",
    kind: "int",
    default: `${DEFAULT_SETTINGS.userDataLimitBytes}`,
    help: "Most bytes of user data that a create may carry.",
    validate: positiveCheck,
  },
  {
    flag: "page-size",
    env: "MOCK_CLOUD_PAGE_SIZE",
    kind: "int",
    default: `${DEFAULT_SETTINGS.pageSize}`,
    help: "VMs in one page of a list.",
    validate: positiveCheck,
  },
];

/** The configuration from parsed options. Throws `invalid-config`. */
export function readMockCloudConfig(options: OptionReader): MockCloudConfig {
  const socket = options.string("socket");
  const instance =
    options.string("instance") || `mock-${createHash("sha256").update(socket).digest("hex").slice(0, 8)}`;
  const rootless = options.string("rootless");
  if (!isRootless(rootless)) throw invalidConfig(`-rootless is ${rootless}; give auto, true or false`);
  return {
    socket,
    instance,
    stateDir: options.string("state-dir") || join(socket, "..", instance),
    bridge: options.string("bridge"),
    subnet: options.string("subnet"),
    rootlessSubnet: options.string("rootless-subnet"),
    image: options.string("image") || installedProgram("guest", "providers/mock/guest/main.ts"),
    imagesDir: options.string("images-dir"),
    rootless,
    settings: {
      bootDelayMs: options.durationMs("boot-delay") ?? 0,
      tagDelayMs: options.durationMs("tag-delay") ?? 0,
      addressDelayMs: options.durationMs("address-delay") ?? 0,
      deleteDelayMs: options.durationMs("delete-delay") ?? 0,
      quota: options.int("quota") ?? 0,
      userDataLimitBytes: options.int("user-data-limit") ?? DEFAULT_SETTINGS.userDataLimitBytes,
      pageSize: options.int("page-size") ?? DEFAULT_SETTINGS.pageSize,
    },
  };
}
