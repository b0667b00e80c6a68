import type { Provider, ProviderModule } from "../../providers/contract.ts";
import type { AdaptorConfig } from "../adaptor/index.ts";
import {
  type Check,
  cloudChecks,
  clusterChecks,
  examine,
  type Finding,
  failure,
  info,
  kernelChecks,
  type Level,
  nodeChecks,
  ok,
  portChecks,
  shimChecks,
} from "../doctor/index.ts";
import { describeError, isCaaError } from "../errors/index.ts";
import { ClusterClient, clusterAccess } from "../kubernetes/client/index.ts";
import { silentLog, systemClock, systemExec } from "../platform/index.ts";
import { readAdaptorConfig, type Surroundings } from "./config.ts";
import { type Colour, type Paint, printable } from "./table.ts";

/** The scheduler's count of pod VMs (kubernetes.md of the Go adaptor: kata.peerpods.io/vm). */
const NODE_RESOURCE = "kata.peerpods.io/vm";

export interface DoctorRun {
  readonly module: ProviderModule;
  readonly surroundings: Surroundings;
  /** "": the usual places. */
  readonly shimConfig: string;
  readonly hostRoot: string;
  readonly asJson: boolean;
  readonly programVersion: string;
  readonly signal: AbortSignal;
  readonly paint: Paint;
  readonly write: (text: string) => void;
}

/** Looks at node, shim, cluster and cloud. Resolves to 0, or to 1 when something keeps pods from running. */
export async function runDoctor(run: DoctorRun): Promise<number> {
  await using opened = new AsyncDisposableStack();
  const findings = [...(await examineAll(run, opened))];
  run.write(run.asJson ? `${JSON.stringify(findings, undefined, 2)}\n` : findingsText(findings, run.paint));
  return findings.some(({ level }) => level === "error") ? 1 : 0;
}

async function examineAll(run: DoctorRun, opened: AsyncDisposableStack): Promise<readonly Finding[]> {
  const { module, surroundings, signal } = run;
  const isRoot = process.getuid?.() === 0;
  const kernel = kernelChecks(systemExec, isRoot);
  let config: AdaptorConfig;
  try {
    config = readAdaptorConfig(module, surroundings);
  } catch (error) {
    if (!isCaaError(error, "invalid-config")) throw error;
    const problems = error.message
      .split("\n")
      .filter((line) => !/settings are wrong:$/.test(line))
      .map((line) => failure("configuration", line.replace(/^- /, ""), "see docs/configuration.md"));
    return [
      ...problems,
      info("doctor", "what depends on the configuration was not looked at"),
      ...(await examine([kernel], signal)),
    ];
  }
  const warnings = config.warnings.map((text) => info("configuration", text));
  const checks: readonly Check[] = [
    async () =>
      warnings.length > 0 ? warnings : [ok("configuration", `of provider ${module.name} is valid`)],
    kernel,
    portChecks(systemExec, config.network.vxlanPort),
    ...nodeChecks({ ...config.paths, criSocket: config.cleaning.criEndpoint }),
    ...shimChecks({
      hypervisorSocket: config.paths.hypervisorSocket,
      shimConfig: run.shimConfig,
      hostRoot: run.hostRoot,
      runtimeClass: config.node.runtimeClassName,
    }),
    ...(await cluster(run, config, opened)),
    ...(await cloud(run, config, opened)),
  ];
  return await examine(checks, signal);
}

async function cluster(
  run: DoctorRun,
  config: AdaptorConfig,
  opened: AsyncDisposableStack,
): Promise<readonly Check[]> {
  if (config.cluster === undefined)
    return [
      async () => [
        info(
          "API server",
          "not in a cluster, and PEERPODS_KUBECONFIG is not set: the cluster was not looked at",
        ),
      ],
    ];
  try {
    const deps = {
      clock: systemClock,
      log: silentLog,
      userAgent: `cloud-api-adaptor/${run.programVersion} doctor`,
    };
    const client = opened.use(
      await ClusterClient.open(deps, clusterAccess(config.cluster.kubeconfigFile, config.cluster.serviceEnv)),
    );
    return clusterChecks({
      client,
      clock: systemClock,
      nodeName: config.node.inKubernetes ? config.node.name : "",
      runtimeClass: config.node.runtimeClassName,
      resource: NODE_RESOURCE,
      limit: config.limits.maxVms,
    });
  } catch (error) {
    const text = describeError(error);
    return [
      async () => [failure("API server", text, "check PEERPODS_KUBECONFIG or the pod's service account")],
    ];
  }
}

async function cloud(
  run: DoctorRun,
  config: AdaptorConfig,
  opened: AsyncDisposableStack,
): Promise<readonly Check[]> {
  const owner = { clusterId: config.node.clusterId, nodeName: config.node.name };
  const context = { clock: systemClock, exec: systemExec, log: silentLog, owner };
  try {
    const provider: Provider = await run.module.create(context, config.providerOptions);
    opened.defer(() => provider.close());
    return cloudChecks(provider);
  } catch (error) {
    const text = describeError(error);
    return [async () => [failure(`${run.module.name} configuration`, text, "see docs/configuration.md")]];
  }
}

const MARKS: Readonly<Record<Level, readonly [string, Colour]>> = {
  ok: ["ok", "green"],
  info: ["--", "dim"],
  warning: ["warn", "yellow"],
  error: ["FAIL", "red"],
};

function findingsText(findings: readonly Finding[], paint: Paint): string {
  const lines = findings.flatMap(({ check, level, text, fix }) => {
    const [mark, colour] = MARKS[level];
    return [
      `${paint(colour, mark.padEnd(4))}  ${check}: ${printable(text)}`,
      ...(fix === undefined ? [] : [`      fix: ${fix}`]),
    ];
  });
  const count = (level: Level): number => findings.filter((finding) => finding.level === level).length;
  return `${[...lines, "", `${count("error")} errors, ${count("warning")} warnings, ${count("ok")} ok`].join("\n")}\n`;
}
