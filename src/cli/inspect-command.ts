import { type Inspection, parseInspection } from "../admin/status.ts";
import { askForBody } from "./admin-answers.ts";
import { counted, duration, type Paint, printable, spokenDuration, terminalPaint } from "./table.ts";

/** A cloud may take its time for a console. */
const TIMEOUT_MS = 40_000;

export interface InspectOptions {
  readonly pod: string;
  readonly withConsole: boolean;
  readonly asJson: boolean;
}

/** Prints everything known of one pod. Throws `not-found` when the adaptor knows none of that name. */
export async function showInspection(
  socket: string,
  wanted: InspectOptions,
  write: (text: string) => void,
): Promise<number> {
  const query = new URLSearchParams({ pod: wanted.pod, ...(wanted.withConsole && { console: "true" }) });
  const body = await askForBody(socket, {
    method: "GET",
    path: `/inspect?${query.toString()}`,
    timeoutMs: TIMEOUT_MS,
  });
  write(wanted.asJson ? body : inspectionText(parseInspection(body), terminalPaint));
  return 0;
}

/** An inspection as people read it. */
export function inspectionText(found: Inspection, paint: Paint): string {
  return [
    paint("bold", printable(`${found.namespace}/${found.name}`)),
    ...fields(presentFields(found)),
    ...(found.record === null ? [] : fields(recordFields(found.record))),
    ...section("Timeline (since this adaptor owns the node)", timeline(found, paint), paint),
    ...section("Errors of the cloud", cloudErrors(found, paint), paint),
    ...(found.console === null ? [] : section("Console", printable(found.console).split("\n"), paint)),
    "",
  ].join("\n");
}

type Field = readonly [name: string, value: string];

const fields = (all: readonly Field[]): readonly string[] =>
  all
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `  ${`${name}:`.padEnd(17)} ${printable(value)}`);

function presentFields(found: Inspection): readonly Field[] {
  const { pod } = found;
  const others = found.otherSandboxes.join(", ");
  const identity: readonly Field[] = [["sandbox", found.sandboxId]];
  if (pod === null)
    return [...identity, ["phase", "gone"], ["VM", found.vmName], ["other sandboxes", others]];
  const nowMs = Date.parse(found.at);
  const { vm, tunnel, link, doing, lastError } = pod;
  return [
    ...identity,
    ["pod UID", pod.uid ?? "not known"],
    ["phase", `${pod.phase} for ${duration(nowMs - Date.parse(pod.changedAt))}`],
    ["created", `${pod.createdAt} (${duration(nowMs - Date.parse(pod.createdAt))} ago)`],
    ["doing", doing === null ? "" : `${doing.text}, ${spokenDuration(nowMs - Date.parse(doing.since))}`],
    ["last error", lastError === null ? "" : `${lastError.kind}: ${lastError.text}`],
    ["VM", `${vm.name}${vm.id === null ? "" : ` (${vm.id})`}, ${vm.phase ?? "not made"}`],
    ["addresses", vm.addresses.join(", ")],
    ["delete attempts", vm.deleteAttempts > 0 ? `${vm.deleteAttempts}` : ""],
    ["tunnel", tunnel.id === null ? "" : `${tunnel.type} ${tunnel.id}${tunnel.made ? "" : ", not made yet"}`],
    ["link", `${link.state ?? "not dialled"}${link.reason === "" ? "" : `: ${link.reason}`}`],
    ["link history", `${counted(link.breaks, "break")}, ${counted(link.losses, "loss")}`],
    ["other sandboxes", others],
  ];
}

function recordFields(record: NonNullable<Inspection["record"]>): readonly Field[] {
  const { machineType, vcpus, memoryMiB, gpus } = record;
  const asked = [
    ...(machineType === "" ? [] : [machineType]),
    ...(vcpus > 0 ? [`${vcpus} vCPUs`] : []),
    ...(memoryMiB > 0 ? [`${memoryMiB} MiB`] : []),
    ...(gpus > 0 ? [`${gpus} GPUs`] : []),
  ];
  return [
    ["asked for", asked.length > 0 ? asked.join(", ") : "nothing: the default size"],
    ["image", record.image === "" ? "the default" : record.image],
    [
      "initdata",
      record.initdataBytes > 0 ? `${record.initdataBytes} bytes of the pod's own` : "none of the pod's own",
    ],
    ["network ns", record.netns],
    ["TLS server name", record.serverName ?? ""],
    ["volumes", record.volumes.join(", ")],
    [
      "tags",
      Object.entries(record.tags)
        .map(([key, value]) => `${key}=${value}`)
        .join(", "),
    ],
    ["network", record.networkJson ?? ""],
    ["tunnel plan", record.tunnelJson ?? ""],
  ];
}

function section(title: string, lines: readonly string[], paint: Paint): readonly string[] {
  return ["", paint("bold", title), ...(lines.length > 0 ? lines.map((line) => `  ${line}`) : ["  none"])];
}

function timeline(found: Inspection, paint: Paint): readonly string[] {
  return found.timeline.map(({ at, what, step, text, durationMs }) => {
    const took = durationMs === null ? "" : ` after ${(durationMs / 1000).toFixed(1)} s`;
    const bad = what === "failed" || what === "loss" || what === "vm-gone" || what === "abandoned";
    const head = [what, step].filter((word) => word !== "").join(" ");
    return `${at}  ${bad ? paint("red", head) : head}${took}${text === "" ? "" : `: ${printable(text)}`}`;
  });
}

function cloudErrors(found: Inspection, paint: Paint): readonly string[] {
  return found.cloudErrors.map(
    ({ at, step, kind, text }) => `${at}  ${step} ${paint("red", kind)}: ${printable(text)}`,
  );
}
