import { PROVIDERS } from "../../providers/index.ts";
import { invalidConfig } from "../errors/index.ts";
import {
  adaptorOptionGroups,
  flatten,
  logLevel,
  readAdaptorConfig,
  readShimProxyConfig,
  refuseIfAny,
  type Surroundings,
} from "./config.ts";
import type { CommandSummary } from "./help.ts";
import { readOptions } from "./options.ts";
import { type OptionGroup, PROCESS_OPTIONS } from "./shared-options.ts";
import { SHIM_PROXY_OPTIONS } from "./shim-proxy-options.ts";

/** A command that runs a process until it ends. */
export interface Command extends CommandSummary {
  readonly groups: readonly OptionGroup[];
  /** Resolves to the exit status. Throws `invalid-config` before anything is started. */
  run(surroundings: Surroundings): Promise<number>;
}

/** Names that the Go adaptor knows, and what this program has for them. */
const GO_PROVIDERS: Readonly<Record<string, string>> = {
  alibabacloud: "Alibaba Cloud",
  aws: "AWS",
  azure: "Azure",
  byom: "bring your own machines",
  docker: "Docker",
  gcp: "Google Cloud",
  ibmcloud: "IBM Cloud VPC",
  "ibmcloud-powervs": "IBM Power Virtual Server",
  ibmcloudpowervs: "IBM Power Virtual Server",
  libvirt: "libvirt",
  vsphere: "vSphere",
};

const MOCK_CLOUD: CommandSummary = {
  name: "mock-cloud",
  summary: "The machine room: a cloud on this machine, for trials and tests; provider mock is its client.",
};

const SHIM_PROXY: CommandSummary = {
  name: "shim-proxy",
  summary:
    "The data plane: holds the connections of Kata's shims while the adaptor is restarted or replaced.",
};

const adaptorSummary = (name: string): CommandSummary => ({
  name,
  summary: `The adaptor (control plane) with pod VMs of provider ${name}.`,
});

/** Every command of this build but help and version. */
export function commandSummaries(): readonly CommandSummary[] {
  return [...Object.keys(PROVIDERS).sort().map(adaptorSummary), SHIM_PROXY, MOCK_CLOUD];
}

/** The command of that name, with its modules loaded. Throws `invalid-config` that says which there are. */
export async function loadCommand(name: string): Promise<Command> {
  if (name === SHIM_PROXY.name) return shimProxyCommand();
  if (name === MOCK_CLOUD.name) return await mockCloudCommand();
  const load = Object.hasOwn(PROVIDERS, name) ? PROVIDERS[name] : undefined;
  if (load === undefined) throw unknownCommand(name);
  const module = await load();
  return {
    ...adaptorSummary(name),
    groups: adaptorOptionGroups(module),
    async run(surroundings) {
      const config = readAdaptorConfig(module, surroundings);
      const { runAdaptor } = await import("./run-adaptor.ts");
      return await runAdaptor(config, module);
    },
  };
}

function shimProxyCommand(): Command {
  return {
    ...SHIM_PROXY,
    groups: SHIM_PROXY_OPTIONS,
    async run(surroundings) {
      const config = readShimProxyConfig(surroundings);
      const { runShimProxy } = await import("./run-shim-proxy.ts");
      return await runShimProxy(config);
    },
  };
}

async function mockCloudCommand(): Promise<Command> {
  const { MOCK_CLOUD_OPTIONS, readMockCloudConfig } = await import(
    "../../providers/mock/mock-cloud/config.ts"
  );
  const groups = [{ title: "Machine room", options: MOCK_CLOUD_OPTIONS }, PROCESS_OPTIONS];
  return {
    ...MOCK_CLOUD,
    groups,
    async run(surroundings) {
      const options = readOptions(flatten(groups), surroundings);
      refuseIfAny(options.problems);
      const config = readMockCloudConfig(options);
      const { runMockCloud } = await import("./run-mock-cloud.ts");
      return await runMockCloud(config, { logLevel: logLevel(options), warnings: options.warnings });
    },
  };
}

function unknownCommand(name: string): Error {
  const here = commandSummaries().map((command) => command.name);
  const list = `this build has: ${[...here, "help", "version"].join(", ")}`;
  const goName = Object.hasOwn(GO_PROVIDERS, name) ? GO_PROVIDERS[name] : undefined;
  if (goName !== undefined)
    return invalidConfig(`provider ${name} (${goName}) is not in this build; ${list}`);
  const near = here.find((candidate) => isNear(candidate, name.toLowerCase()));
  const hint = near === undefined ? "" : `did you mean ${near}? `;
  return invalidConfig(`there is no command ${JSON.stringify(name)}; ${hint}${list}`);
}

/** One letter more, less or other, or two neighbours swapped. */
function isNear(a: string, b: string): boolean {
  let start = 0;
  while (start < a.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const restA = a.slice(start, a.length - end);
  const restB = b.slice(start, b.length - end);
  const swapped = restA.length === 2 && restB.length === 2 && restA === `${restB[1]}${restB[0]}`;
  return swapped || (restA.length <= 1 && restB.length <= 1);
}
