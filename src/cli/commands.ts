import { PROVIDERS } from "../../providers/index.ts";
import { invalidConfig } from "../errors/index.ts";
import { systemClock } from "../platform/index.ts";
import { ADMIN_COMMANDS } from "./admin-commands.ts";
import { CLUSTER_COMMANDS, clusterCommand, isClusterCommand } from "./cluster-commands.ts";
import type { Command, Listed } from "./command.ts";
import {
  adaptorOptionGroups,
  flatten,
  logLevel,
  readAdaptorConfig,
  readShimProxyConfig,
  refuseIfAny,
} from "./config.ts";
import type { CommandSummary } from "./help.ts";
import type { InitdataAction } from "./initdata-command.ts";
import { isNear } from "./near.ts";
import { readOptions } from "./options.ts";
import { PROCESS_OPTIONS, STATE_DIR } from "./shared-options.ts";
import { SHIM_PROXY_OPTIONS } from "./shim-proxy-options.ts";
import { stopSignal } from "./stop-signals.ts";
import { programVersion } from "./version.ts";

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

const adaptorSummary = (name: string): CommandSummary => ({
  name,
  summary: `The adaptor (control plane) with pod VMs of provider ${name}.`,
});

/** In the order of the overview. A name of two words is a command of a group. */
const COMMANDS: Readonly<Record<string, Listed>> = {
  "shim-proxy": {
    summary:
      "The data plane: holds the connections of Kata's shims while the adaptor is restarted or replaced.",
    load: async (summary) => shimProxyCommand(summary),
  },
  "mock-cloud": {
    summary: "The machine room: a cloud on this machine, for trials and tests; provider mock is its client.",
    load: (summary) => mockCloudCommand(summary),
  },
  webhook: {
    summary:
      "The admission webhook: sizes the VMs of peer pods by what their containers ask for, and refuses what cannot work.",
    load: webhookCommand,
  },
  ...ADMIN_COMMANDS,
  "journal check": {
    summary: "Whether this node's journal is sound, and what to do if not; exit status 1 then.",
    load: async (summary) => journalCommand(summary, "check"),
  },
  "journal show": {
    summary:
      "Sandboxes and VMs of this node's journal, as JSON without secrets; also while the adaptor runs.",
    load: async (summary) => journalCommand(summary, "show"),
  },
  "initdata encode": {
    summary:
      "Makes a pod's initdata of a TOML document, a folder or single files: base64 of gzip, or an annotation to paste.",
    load: (summary) => initdataCommand(summary, "encode"),
  },
  "initdata decode": {
    summary: "Gives the TOML of encoded initdata, byte for byte, or one of its files.",
    load: (summary) => initdataCommand(summary, "decode"),
  },
  "initdata verify": {
    summary:
      "Whether shims, the stock pod VM image and the clouds will take this initdata; exit status 1 if not.",
    load: (summary) => initdataCommand(summary, "verify"),
  },
  "initdata digest": {
    summary: "The digest of initdata, and what a verifier must expect of it on each platform.",
    load: (summary) => initdataCommand(summary, "digest"),
  },
};

/** First words of commands of two. */
const GROUPS: ReadonlySet<string> = new Set(
  Object.keys(COMMANDS)
    .filter((name) => name.includes(" "))
    .map((name) => name.replace(/ .*/, "")),
);

/** Every command of this build but help and version. */
export function commandSummaries(): readonly CommandSummary[] {
  const providers = Object.keys(PROVIDERS).sort().map(adaptorSummary);
  const listed = Object.entries(COMMANDS).map(([name, { summary }]) => ({ name, summary }));
  return [...providers, ...listed, ...CLUSTER_COMMANDS];
}

/** How many words name the command: `journal check` and `destroy azure` have two. */
export function commandName(args: readonly string[], cloudProvider: string): readonly string[] {
  const [first = "", second = ""] = args;
  const hasSecond = second !== "" && !second.startsWith("-");
  if (GROUPS.has(first)) return hasSecond ? [first, second] : [first];
  if (isClusterCommand(first)) return hasSecond ? [first, second] : [first, cloudProvider];
  return [first];
}

/** The command of that name, with its modules loaded. Throws `invalid-config` that says which there are. */
export async function loadCommand(name: string): Promise<Command> {
  const listed = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (listed !== undefined) return await listed.load({ name, summary: listed.summary });
  const [word = "", provider = ""] = name.split(" ");
  if (isClusterCommand(word)) return await clusterCommand(word, provider);
  const load = Object.hasOwn(PROVIDERS, name) ? PROVIDERS[name] : undefined;
  if (load === undefined) throw unknownCommand(name);
  const module = await load();
  return {
    ...adaptorSummary(name),
    groups: adaptorOptionGroups(module),
    async run(surroundings) {
      const config = readAdaptorConfig(module, surroundings);
      const { crashPoints, runAdaptor } = await import("../adaptor/index.ts");
      return await runAdaptor(config, module, {
        stop: stopSignal(),
        programVersion: await programVersion(),
        points: crashPoints(surroundings.env),
        makeConfigReader: async (explicitKeys) => {
          const { configReader } = await import("./config-reader.ts");
          return configReader({ module, surroundings, config, explicitKeys });
        },
      });
    },
  };
}

function shimProxyCommand(summary: CommandSummary): Command {
  return {
    ...summary,
    groups: SHIM_PROXY_OPTIONS,
    async run(surroundings) {
      const config = readShimProxyConfig(surroundings);
      const { runShimProxy } = await import("./run-shim-proxy.ts");
      return await runShimProxy(config);
    },
  };
}

async function mockCloudCommand(summary: CommandSummary): Promise<Command> {
  const { MOCK_CLOUD_OPTIONS, readMockCloudConfig } = await import(
    "../../providers/mock/mock-cloud/config.ts"
  );
  const groups = [{ title: "Machine room", options: MOCK_CLOUD_OPTIONS }, PROCESS_OPTIONS];
  return {
    ...summary,
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

async function webhookCommand(summary: CommandSummary): Promise<Command> {
  const { WEBHOOK_OPTIONS } = await import("./webhook-options.ts");
  return {
    ...summary,
    groups: WEBHOOK_OPTIONS,
    async run(surroundings) {
      const { readWebhookConfig } = await import("./webhook-config.ts");
      const config = readWebhookConfig(surroundings);
      const { runWebhook } = await import("./run-webhook.ts");
      return await runWebhook(config, surroundings.env);
    },
  };
}

function journalCommand(summary: CommandSummary, what: "check" | "show"): Command {
  return {
    ...summary,
    groups: [{ title: "Journal", options: [STATE_DIR] }],
    async run(surroundings) {
      const options = readOptions([STATE_DIR], surroundings);
      refuseIfAny(options.problems);
      const { checkJournal, showJournal } = await import("./journal-command.ts");
      const run = what === "check" ? checkJournal : showJournal;
      return await run(options.string(STATE_DIR.flag), (text) => process.stdout.write(text));
    },
  };
}

async function initdataCommand(summary: CommandSummary, action: InitdataAction): Promise<Command> {
  const { INITDATA_COMMANDS } = await import("./initdata-command.ts");
  const command = INITDATA_COMMANDS[action];
  const { options, positionals } = command;
  return {
    ...summary,
    groups: [{ title: "Initdata", options }],
    positionals,
    async run(surroundings) {
      const reader = readOptions(options, surroundings);
      refuseIfAny(reader.problems);
      return await command.run(reader, {
        word: surroundings.words?.[0] ?? "",
        stdin: process.stdin,
        nowMs: systemClock.wallMs(),
        out: (text) => process.stdout.write(text),
        err: (text) => process.stderr.write(text),
      });
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
