import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readManifests } from "../chart/manifests.ts";

const MANIFEST = join(import.meta.dirname, "../../deploy/manifests/azure.yaml");
/** Which of the chart's DaemonSets a command runs in; the machine room is no part of a cluster. */
const DAEMON_SETS: Readonly<Record<string, string>> = {
  "shim-proxy": "peerpods-shim-proxy",
  mock: "cloud-api-adaptor-daemonset",
  azure: "cloud-api-adaptor-daemonset",
  ibmcloud: "cloud-api-adaptor-daemonset",
};

/** What to start a command with, so that it has the capabilities that its container has in the chart, and can gain none. */
export function withRightsOfItsPod(command: string): readonly string[] {
  const daemonSet = DAEMON_SETS[command];
  if (daemonSet === undefined) return [];
  const { securityContext } = readManifests(readFileSync(MANIFEST, "utf8")).container("DaemonSet", daemonSet);
  const added = securityContext.capabilities.add.map((name) => `,+${name.toLowerCase()}`).join("");
  return ["setpriv", "--no-new-privs", "--inh-caps=-all", `--bounding-set=-all${added}`];
}
