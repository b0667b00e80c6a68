import { isAbsolute } from "node:path";
import { invalidConfig } from "../../src/errors/index.ts";
import type { OptionSpec, ProviderModule } from "../contract.ts";
import { DEFAULT_SETTINGS, DEFAULT_SOCKET, mockCloudClient } from "./mock-cloud/index.ts";
import { observedClient } from "./observed-client.ts";
import { MockProvider } from "./provider.ts";

const OPTIONS: readonly OptionSpec[] = [
  {
    flag: "mock-cloud-socket",
    env: "MOCK_CLOUD_SOCKET",
    kind: "string",
    default: DEFAULT_SOCKET,
    help: "Unix socket of the machine room (`cloud-api-adaptor mock-cloud`).",
    validate: (text) => (isAbsolute(text) ? undefined : "give an absolute path"),
  },
  {
    flag: "mock-image",
    env: "MOCK_IMAGE",
    kind: "string",
    live: true,
    help: "Image that VMs boot: the path of an executable, or a name in the machine room's folder of images; unset: the machine room's default.",
  },
  {
    flag: "mock-user-data-limit",
    env: "MOCK_USER_DATA_LIMIT",
    kind: "int",
    default: `${DEFAULT_SETTINGS.userDataLimitBytes}`,
    live: true,
    help: "Most bytes of user data; at most what the machine room takes.",
    validate: (text) => (Number(text) > 0 ? undefined : "give a number of bytes greater than 0"),
  },
  {
    flag: "mock-tags",
    env: "MOCK_TAGS",
    kind: "tags",
    live: true,
    help: "Tags for every VM, as key=value,key=value; tags of ours are not overridden.",
  },
];

/** Pod VMs in the machine room of this machine. */
export const mockProvider: ProviderModule = {
  name: "mock",
  options: OPTIONS,
  async create(context, options) {
    const socket = options.string("mock-cloud-socket");
    if (!isAbsolute(socket)) throw invalidConfig(`-mock-cloud-socket is ${socket}; give an absolute path`);
    const client = observedClient(mockCloudClient(socket), context.clock, context.onCall);
    return new MockProvider(context, client, {
      image: options.string("mock-image"),
      userDataLimitBytes: options.int("mock-user-data-limit") ?? DEFAULT_SETTINGS.userDataLimitBytes,
      tags: options.tags("mock-tags"),
    });
  },
};
