import type { ConfigurationStatus, PodStatus, Status } from "../admin/status.ts";
import { type Colour, counted, duration, type Paint, printable, spokenDuration, table } from "./table.ts";

const SHOWN_ID_CHARS = 12;
/** Enough for a cloud's sentence; `inspect` has the whole. */
const SHOWN_ERROR_CHARS = 160;

const PHASE_COLOURS: Readonly<Record<string, Colour>> = {
  running: "green",
  failed: "red",
  stopping: "yellow",
  starting: "yellow",
  creating: "yellow",
  created: "yellow",
};

/** The status as people read it. */
export function statusText(status: Status, paint: Paint): string {
  const nowMs = Date.parse(status.at);
  return [
    ...head(status, paint, nowMs),
    ...configurationLines(status.configuration, paint),
    ...clusterLines(status.cluster, paint),
    "",
    pods(status, paint, nowMs),
    ...otherVms(status, paint, nowMs),
  ].join("\n");
}

function head(status: Status, paint: Paint, nowMs: number): readonly string[] {
  const { program, provider, nodeName, limit, shimProxy } = status;
  const health = status.live ? (status.ready ? "green" : "yellow") : "red";
  const epoch = status.epoch === null ? "" : `, epoch ${status.epoch}`;
  const up = duration(nowMs - Date.parse(program.startedAt));
  const instance = shimProxy.instanceId?.slice(0, SHOWN_ID_CHARS) ?? "";
  return [
    `${paint("bold", `cloud-api-adaptor ${program.version}`)}, ${provider}, node ${printable(nodeName)}: ${paint(health, printable(status.reasons.join("; ")))}`,
    `up ${up}, pid ${program.pid}${epoch}, log level ${status.logLevel}`,
    shimProxy.attached
      ? `shim-proxy ${shimProxy.version}, instance ${instance}`
      : `shim-proxy: not attached (${shimProxy.socket})`,
    limitLine(limit),
  ];
}

function limitLine({ most, used, deleting, pool }: Status["limit"]): string {
  const parts = [
    ...(deleting > 0 ? [`${deleting} being deleted`] : []),
    ...(pool > 0 ? [`${pool} waiting in the pool`] : []),
  ];
  const detail = parts.length > 0 ? ` (${parts.join(", ")})` : "";
  return `pod VMs: ${used} of ${most ?? "any number"}${detail}`;
}

function configurationLines(configuration: ConfigurationStatus, paint: Paint): readonly string[] {
  const { source, trouble, wrong, unknown, needRestart, overridden } = configuration;
  const lines = (colour: Colour, title: string, notes: ConfigurationStatus["wrong"]): readonly string[] =>
    notes.map(({ key, text }) => `  ${paint(colour, title)} ${printable(key)}: ${printable(text)}`);
  return [
    `configuration: ${source}${trouble === null ? "" : paint("yellow", ` (cannot be read now: ${printable(trouble)})`)}`,
    ...lines("red", "wrong", wrong),
    ...lines("yellow", "unknown", unknown),
    ...lines("yellow", "needs a restart", needRestart),
    ...lines("dim", "overridden", overridden),
  ];
}

function clusterLines(cluster: Status["cluster"], paint: Paint): readonly string[] {
  if (cluster === null) return [];
  return [
    `cluster: capacity by ${cluster.nodeResource}`,
    ...cluster.troubles.map((trouble) => `  ${paint("yellow", "not now")} ${printable(trouble)}`),
  ];
}

function pods(status: Status, paint: Paint, nowMs: number): string {
  if (status.pods.length === 0) return "no pods\n";
  const title = ["POD", "PHASE", "AGE", "VM", "ADDRESS", "TUNNEL", "LINK", ""];
  const rows = status.pods.map((pod) => podRow(pod, paint, nowMs));
  return table(
    title.map((cell) => (cell === "" ? "" : paint("dim", cell))),
    rows,
  );
}

function podRow(pod: PodStatus, paint: Paint, nowMs: number): readonly string[] {
  const { vm, tunnel, link } = pod;
  return [
    printable(`${pod.namespace}/${pod.name}`),
    paint(PHASE_COLOURS[pod.phase] ?? "dim", pod.phase),
    duration(nowMs - Date.parse(pod.createdAt)),
    printable(vm.name),
    vm.addresses[0] ?? "-",
    tunnel.made && tunnel.id !== null ? `${tunnel.type} ${tunnel.id}` : "-",
    linkCell(link, paint),
    remark(pod, paint, nowMs),
  ];
}

function linkCell({ state, breaks, losses }: PodStatus["link"], paint: Paint): string {
  if (state === null) return "-";
  const colour = state === "up" ? "green" : state === "lost" ? "red" : "yellow";
  const history = [
    ...(breaks > 0 ? [counted(breaks, "break")] : []),
    ...(losses > 0 ? [counted(losses, "loss")] : []),
  ];
  return `${paint(colour, state)}${history.length > 0 ? ` (${history.join(", ")})` : ""}`;
}

function remark({ doing, lastError }: PodStatus, paint: Paint, nowMs: number): string {
  const waiting = doing === null ? "" : `${doing.text}, ${spokenDuration(nowMs - Date.parse(doing.since))}`;
  if (lastError === null) return printable(waiting);
  const text = printable(lastError.text).replaceAll(/\s+/g, " ");
  const short = text.length > SHOWN_ERROR_CHARS ? `${text.slice(0, SHOWN_ERROR_CHARS)}...` : text;
  return `${printable(waiting)}${waiting === "" ? "" : "; "}${paint("red", short)}`;
}

function otherVms(status: Status, paint: Paint, nowMs: number): readonly string[] {
  if (status.otherVms.length === 0) return [];
  const title = ["VM WITHOUT A POD", "PHASE", "SINCE", ""].map((cell) =>
    cell === "" ? "" : paint("dim", cell),
  );
  const rows = status.otherVms.map((vm) => [
    printable(vm.name),
    vm.phase,
    duration(nowMs - Date.parse(vm.since)),
    vm.lastError === null ? "" : paint("red", printable(vm.lastError)),
  ]);
  return [table(title, rows)];
}
