import type { OptionSpec } from "../../providers/contract.ts";
import type { Command, Listed } from "./command.ts";
import { adminSocket, flatten, refuseIfAny, type Surroundings } from "./config.ts";
import type { CommandSummary, Positional } from "./help.ts";
import { type OptionResult, readOptions } from "./options.ts";
import { runProbe } from "./probe.ts";
import { type OptionGroup, WHERE_IT_ANSWERS } from "./shared-options.ts";
import { stopSignal } from "./stop-signals.ts";

const JSON_OPTION: OptionSpec = {
  flag: "json",
  kind: "bool",
  default: "false",
  help: "JSON for scripts: fields are added by later releases and not changed",
};

const WATCH: OptionSpec = {
  flag: "watch",
  kind: "bool",
  default: "false",
  help: "shows it again every 2 s until interrupted; with -json one document a line",
};

const CONSOLE: OptionSpec = {
  flag: "console",
  kind: "bool",
  default: "false",
  help: "also the newest part of the VM's console, where the provider has it",
};

/** What such a command is run with. */
interface Run {
  readonly socket: string;
  readonly options: OptionResult;
  readonly words: readonly string[];
  readonly env: Surroundings["env"];
  readonly write: (text: string) => void;
}

interface AdminCommand {
  readonly title?: string;
  readonly options?: readonly OptionSpec[];
  readonly positionals?: readonly Positional[];
  readonly run: (run: Run) => Promise<number>;
}

function adminCommand(summary: CommandSummary, command: AdminCommand): Command {
  const { title = "", options: own = [], positionals = [] } = command;
  const groups: readonly OptionGroup[] = [
    ...(own.length > 0 ? [{ title, options: own }] : []),
    WHERE_IT_ANSWERS,
  ];
  return {
    ...summary,
    groups,
    positionals,
    async run(surroundings) {
      const options = readOptions(flatten(groups), surroundings);
      refuseIfAny(options.problems);
      return await command.run({
        socket: adminSocket(options),
        options,
        words: surroundings.words ?? [],
        env: surroundings.env,
        write: (text) => process.stdout.write(text),
      });
    },
  };
}

const PROBE: AdminCommand = {
  positionals: [
    {
      name: "WHAT",
      required: true,
      help: "startup: configured, and standing by or recovered; ready: as startup, and calls can be served now; live: it answers, and nothing that only a restart cures",
    },
  ],
  async run({ socket, words: [what = ""], write }) {
    return await runProbe(socket, what, write);
  },
};

const STATUS: AdminCommand = {
  title: "Status",
  options: [WATCH, JSON_OPTION],
  async run({ socket, options, write }) {
    const { showStatus, watchStatus } = await import("./status-command.ts");
    const asJson = options.bool("json");
    if (!options.bool("watch")) return await showStatus(socket, asJson, write);
    return await watchStatus({ socket, asJson, write, stop: stopSignal() });
  },
};

const INSPECT: AdminCommand = {
  title: "Inspect",
  options: [CONSOLE, JSON_OPTION],
  positionals: [
    {
      name: "POD",
      required: true,
      help: "namespace/name, a pod's name, a sandbox's id (the first 6 digits will do) or a VM's name",
    },
  ],
  async run({ socket, options, words: [pod = ""], write }) {
    const { showInspection } = await import("./inspect-command.ts");
    const wanted = { pod, withConsole: options.bool("console"), asJson: options.bool("json") };
    return await showInspection(socket, wanted, write);
  },
};

const LOG_LEVEL: AdminCommand = {
  positionals: [
    {
      name: "LEVEL",
      required: false,
      help: "debug, info, warn or error; not given: says which it is",
    },
  ],
  async run({ socket, words: [level], write }) {
    const { showOrSetLogLevel } = await import("./log-level-command.ts");
    return await showOrSetLogLevel(socket, level, write);
  },
};

const listed = (summary: string, command: AdminCommand): Listed => ({
  summary,
  load: async (about) => adminCommand(about, command),
});

/** Commands that ask a running adaptor, over its admin socket. */
export const ADMIN_COMMANDS: Readonly<Record<string, Listed>> = {
  status: listed(
    "What the adaptor of this node does: pods, VMs, links, errors, limit, configuration; exit status 1 when it is not ready.",
    STATUS,
  ),
  inspect: listed(
    "Everything known of one pod: record, timeline, console of its VM, errors of the cloud.",
    INSPECT,
  ),
  "log-level": listed("Shows or changes the log level of the running adaptor, until it ends.", LOG_LEVEL),
  probe: listed(
    "Whether the adaptor of this node is started, ready or live: one line, exit status 0 or 1. For a pod's probes.",
    PROBE,
  ),
};
