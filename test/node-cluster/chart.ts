import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ExecResult } from "../../src/platform/index.ts";
import { check } from "../real/case.ts";
import { IMAGE } from "./image.ts";
import { CLOUD_FOLDER, type ClusterNode, LOGS } from "./node.ts";

/** Where the chart is installed, and the names of its parts. */
export const NAMESPACE = "confidential-containers-system";
export const ADAPTOR = "cloud-api-adaptor-daemonset";
export const SHIM_PROXY = "peerpods-shim-proxy";
export const WEBHOOK = "peer-pods-webhook";
/** The resource of which each peer pod takes one. */
export const VM_RESOURCE = "kata.peerpods.io/vm";
/** The node has room for so many pod VMs. */
export const LIMIT = 3;

const RELEASE = "peerpods";
const CHART: string = join(import.meta.dirname, "..", "..", "deploy", "chart");

const CLOUD_VOLUME = "machine-room";

/** Our answers to the chart's questions: the image of this run, few VMs, much to read; and the cloud's socket for all who use the cloud. */
const values = (limit: number, config: Readonly<Record<string, string>>): object => ({
  image: { ...IMAGE, pullPolicy: "Never" },
  config: { PEERPODS_LIMIT_PER_NODE: String(limit), PEERPODS_LOG_LEVEL: "debug", ...config },
  resourceCtrl: {
    enabled: true,
    extraVolumes: [{ name: CLOUD_VOLUME, hostPath: { path: CLOUD_FOLDER, type: "Directory" } }],
    extraVolumeMounts: [{ name: CLOUD_VOLUME, mountPath: CLOUD_FOLDER }],
  },
  cleanup: { enabled: true },
});

/** Installs the chart, or upgrades it, and waits until all of it is ready. */
export async function installChart(
  { helm }: ClusterNode,
  limit: number = LIMIT,
  config: Readonly<Record<string, string>> = {},
): Promise<void> {
  const file = join(LOGS, "values.json");
  await writeFile(file, JSON.stringify(values(limit, config)));
  const files = ["--values", join(CHART, "ci", "mock-values.yaml"), "--values", file];
  const where = ["--namespace", NAMESPACE, "--create-namespace"];
  const { code, stdout, stderr } = await helm(
    "upgrade",
    "--install",
    RELEASE,
    CHART,
    ...where,
    ...files,
    "--wait",
    "--timeout=3m",
  );
  check(code === 0, () => `helm: exit status ${code}: ${stdout}${stderr}`);
}

/** Uninstalls the chart. Resolves to the outcome, whatever it is. */
export async function uninstallChart({ helm }: ClusterNode): Promise<ExecResult> {
  return await helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout=3m");
}
