import type { ProviderModule } from "../../providers/contract.ts";
import { type OptionSpec, PROVIDERS } from "../../providers/index.ts";
import { invalidConfig } from "../errors/index.ts";
import type { Command } from "./command.ts";
import { adaptorOptionGroups, flatten, refuseIfAny, type Surroundings } from "./config.ts";
import { CONTROLLER_OPTIONS } from "./controller-options.ts";
import type { CommandSummary } from "./help.ts";
import { KUBERNETES } from "./kubernetes-options.ts";
import { absolutePath, notNegativeDuration, oneOf } from "./option-checks.ts";
import { readOptions } from "./options.ts";
import { KUBECONFIG } from "./shared-options.ts";
import { stopSignal } from "./stop-signals.ts";
import { terminalPaint } from "./table.ts";
import { programVersion } from "./version.ts";

/** Commands whose second word names the provider: for all VMs of a cluster, and `doctor`. */

interface ClusterCommand {
  readonly summary: string;
  readonly options: readonly OptionSpec[];
  /** It is configured as the provider's adaptor is. */
  readonly asAdaptor?: boolean;
  run(module: ProviderModule, groups: Command["groups"], surroundings: Surroundings): Promise<number>;
}

const commonOption = (flag: string): OptionSpec => {
  const found = KUBERNETES.options.find((option) => option.flag === flag);
  if (found === undefined) throw invalidConfig(`there is no option ${flag}`);
  return found;
};

const CLUSTER_ID: OptionSpec = {
  ...commonOption("peerpods-cluster-id"),
  help: "identity of the cluster in the VMs' tags; unset: the UID of namespace kube-system",
};

const COMMANDS: Readonly<Record<string, ClusterCommand>> = {
  doctor: {
    summary:
      "Looks for what keeps pods from running, before an installation and after: kernel, sockets, shim, cluster, cloud; exit status 1 if there is something. `doctor PROVIDER`, configured as the adaptor.",
    options: [
      {
        flag: "json",
        kind: "bool",
        default: "false",
        help: "JSON for scripts: a list of check, level (ok, info, warning, error), text and fix",
      },
      {
        flag: "shim-config",
        kind: "string",
        help: "the shim's configuration-remote.toml; unset: it is looked for where kata-deploy and packages put it",
        validate: absolutePath,
      },
      {
        flag: "host-root",
        kind: "string",
        help: "folder at which the node's file system is mounted, when it is not /",
        validate: absolutePath,
      },
    ],
    asAdaptor: true,
    async run(module, groups, surroundings) {
      const [own] = groups;
      const options = readOptions(own?.options ?? [], surroundings);
      refuseIfAny(options.problems);
      const { runDoctor } = await import("./doctor-command.ts");
      return await runDoctor({
        module,
        surroundings,
        shimConfig: options.string("shim-config"),
        hostRoot: options.string("host-root"),
        asJson: options.bool("json"),
        programVersion: await programVersion(),
        signal: stopSignal(),
        paint: terminalPaint,
        write: (text) => process.stdout.write(text),
      });
    },
  },
  controller: {
    summary:
      "The PeerPod controller: deletes VMs whose node or pod is gone, for the whole cluster; `controller PROVIDER`, PROVIDER as in CLOUD_PROVIDER.",
    options: flatten(CONTROLLER_OPTIONS),
    async run(module, groups, surroundings) {
      const options = readOptions(flatten(groups), surroundings);
      refuseIfAny(options.problems);
      // With it comes a client of the API server, which other commands do without.
      const { readControllerConfig } = await import("./controller-config.ts");
      const config = readControllerConfig(options, surroundings.env);
      const { runController } = await import("./controller-command.ts");
      const about = { programVersion: await programVersion(), stop: stopSignal() };
      return await runController(config, module, about);
    },
  },
  destroy: {
    summary:
      "Deletes all VMs of a cluster, on purpose: `destroy PROVIDER -cluster ID`, PROVIDER as in CLOUD_PROVIDER.",
    options: [
      {
        flag: "cluster",
        kind: "string",
        required: true,
        help: "identity of the cluster in the VMs' tags (CLUSTER_ID)",
      },
      { flag: "node", kind: "string", help: "only VMs of this node; unset: of all nodes" },
      { flag: "dry-run", kind: "bool", default: "false", help: "only say which VMs would be deleted" },
    ],
    async run(module, groups, surroundings) {
      const options = readOptions(flatten(groups), surroundings);
      refuseIfAny(options.problems);
      const { destroyCluster } = await import("./destroy-command.ts");
      return await destroyCluster({
        module,
        options,
        clusterId: options.string("cluster"),
        nodeName: options.string("node"),
        dryRun: options.bool("dry-run"),
        signal: stopSignal(),
        write: (text) => process.stdout.write(text),
      });
    },
  },
  uninstall: {
    summary:
      "Before the chart is uninstalled: ends the adaptors, deletes all VMs of the cluster, then the PeerPods: `uninstall PROVIDER`.",
    options: [
      {
        flag: "when-pods-run",
        kind: "string",
        default: "refuse",
        help: "what to do while peer pods run: refuse, or destroy their VMs",
        validate: oneOf(["refuse", "destroy"]),
      },
      CLUSTER_ID,
      commonOption("pod-namespace"),
      commonOption("runtimeclass-name"),
      KUBECONFIG,
      {
        flag: "adaptor-limit",
        kind: "duration",
        default: "2m",
        help: "how long to wait for the adaptors to end",
        validate: notNegativeDuration,
      },
      {
        flag: "second-look",
        kind: "duration",
        default: "30s",
        help: "after this time VMs are looked for again: one may have been in the making",
        validate: notNegativeDuration,
      },
    ],
    async run(module, groups, surroundings) {
      const options = readOptions(flatten(groups), surroundings);
      refuseIfAny(options.problems);
      const { uninstall } = await import("./uninstall-command.ts");
      return await uninstall({
        module,
        options,
        env: surroundings.env,
        kubeconfig: options.string("kubeconfig"),
        namespace: options.string("pod-namespace"),
        runtimeClass: options.string("runtimeclass-name"),
        clusterId: options.string("peerpods-cluster-id"),
        whenPodsRun: options.string("when-pods-run"),
        adaptorLimitMs: options.durationMs("adaptor-limit") ?? 0,
        secondLookMs: options.durationMs("second-look") ?? 0,
        programVersion: await programVersion(),
        signal: stopSignal(),
        write: (text) => process.stdout.write(text),
      });
    },
  },
};

/** In the order of the overview. */
export const CLUSTER_COMMANDS: readonly CommandSummary[] = Object.entries(COMMANDS).map(
  ([name, { summary }]) => ({
    name,
    summary,
  }),
);

/** Whether a word names such a command. */
export const isClusterCommand = (word: string): boolean => Object.hasOwn(COMMANDS, word);

/** The command with that provider's options; without a provider only its help can be asked. */
export async function clusterCommand(name: string, provider: string): Promise<Command> {
  const command = COMMANDS[name];
  if (command === undefined) throw invalidConfig(`there is no command ${name}`);
  const title = `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
  const own = { title, options: command.options };
  const load = Object.hasOwn(PROVIDERS, provider) ? PROVIDERS[provider] : undefined;
  if (load === undefined) {
    const why = provider === "" ? "no provider is given" : `provider ${provider} is not in this build`;
    const text = `${name}: ${why}; give one of ${Object.keys(PROVIDERS).join(", ")}, or set CLOUD_PROVIDER`;
    if (provider !== "") throw invalidConfig(text);
    const run = (): Promise<number> => Promise.reject(invalidConfig(text));
    return { name, summary: command.summary, groups: [own], run };
  }
  const module = await load();
  const groups = command.asAdaptor
    ? [own, ...adaptorOptionGroups(module)]
    : [own, { title: `Provider ${module.name}`, options: module.options }];
  return {
    name: `${name} ${provider}`,
    summary: command.summary,
    groups,
    run: (surroundings) => command.run(module, groups, surroundings),
  };
}
