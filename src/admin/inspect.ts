import { alreadyExists, notFound } from "../errors/index.ts";
import type { SandboxRecord } from "../journal/index.ts";
import { parseJournaledRequest, parseJournaledVolumes } from "../sandbox/index.ts";
import type { SandboxHistory } from "./history.ts";
import { isoTime, type OwnedNode, reportPod } from "./pod-report.ts";
import type { Inspection } from "./status.ts";

/** A sandbox that is meant: in the journal, or remembered only. */
export interface Found {
  readonly sandboxId: string;
  readonly namespace: string;
  readonly name: string;
  readonly vmName: string;
  readonly record: SandboxRecord | undefined;
  readonly history: SandboxHistory | undefined;
}

/** How short the beginning of a sandbox's id may be. */
const MIN_ID_CHARS = 6;

/**
 * The sandbox that `key` means: `namespace/name`, a pod's name, a sandbox's id or the beginning of one, or a VM's name; the newest
 * one of a pod. Throws `not-found`, or `already-exists` when pods of several namespaces are meant.
 */
export function findSandbox(node: OwnedNode, key: string): Found {
  const matches = known(node).filter((one) => isMeant(one, key));
  const live = matches.filter((one) => one.record !== undefined);
  const found = (live.length > 0 ? live : matches).at(-1);
  if (found === undefined) {
    throw notFound(
      `this node knows no pod, sandbox or VM ${JSON.stringify(key)}; give namespace/name, a sandbox's id or a VM's name ("cloud-api-adaptor status" lists them)`,
    );
  }
  const pods = [...new Set(matches.map((one) => `${one.namespace}/${one.name}`))];
  if (pods.length > 1)
    throw alreadyExists(`${JSON.stringify(key)} may be ${pods.join(" or ")}; give one of them`);
  return found;
}

/** Those that are gone first, each kind in the order in which it came. */
function known(node: OwnedNode): readonly Found[] {
  const journaled = new Map(node.sandboxes.map((record) => [record.id, record]));
  const gone = [...node.history.all()]
    .filter(([id]) => !journaled.has(id))
    .map(([sandboxId, history]) => ({
      sandboxId,
      namespace: history.pod?.podNamespace ?? "",
      name: history.pod?.podName ?? "",
      vmName: history.vmName,
      record: undefined,
      history,
    }));
  const present = node.sandboxes.map((record) => ({
    sandboxId: record.id,
    namespace: record.podNamespace,
    name: record.podName,
    vmName: record.vmName,
    record,
    history: node.history.of(record.id),
  }));
  return [...gone, ...present];
}

function isMeant({ sandboxId, namespace, name, vmName }: Found, key: string): boolean {
  if (key === `${namespace}/${name}` || key === name || key === vmName || key === sandboxId) return true;
  return key.length >= MIN_ID_CHARS && /^[0-9a-f]+$/.test(key) && sandboxId.startsWith(key);
}

/** Everything known of it but secrets and the console. */
export function inspectSandbox(node: OwnedNode, found: Found, nowMs: number): Inspection {
  const { record, history } = found;
  const others = known(node).filter(
    (one) =>
      one.namespace === found.namespace && one.name === found.name && one.sandboxId !== found.sandboxId,
  );
  return {
    schema: 1,
    at: isoTime(nowMs),
    pod: record === undefined ? null : reportPod(node, record),
    record: record === undefined ? null : reportRecord(node, record),
    sandboxId: found.sandboxId,
    namespace: found.namespace,
    name: found.name,
    vmName: found.vmName,
    timeline: (history?.timeline ?? []).map(({ atMs, what, step, text, durationMs }) => ({
      at: isoTime(atMs),
      what,
      step,
      text,
      durationMs: durationMs ?? null,
    })),
    cloudErrors: (history?.cloudErrors ?? []).map(({ atMs, ...error }) => ({ at: isoTime(atMs), ...error })),
    otherSandboxes: others.map((one) => one.sandboxId),
    console: null,
  };
}

function reportRecord(node: OwnedNode, record: SandboxRecord): Inspection["record"] {
  const { netns, size, image, initdata } = parseJournaledRequest(record.requestJson);
  const vm = node.vms.find((candidate) => candidate.sandboxId === record.id);
  return {
    netns,
    machineType: size.machineType,
    vcpus: size.vcpus,
    memoryMiB: size.memoryMiB,
    gpus: size.gpus,
    image,
    initdataBytes: Buffer.byteLength(initdata),
    serverName: record.serverName ?? null,
    volumes: parseJournaledVolumes(record.volumesJson).map(({ targetPath, diskId }) =>
      diskId === "" ? targetPath : `${targetPath} (${diskId})`,
    ),
    tags: { ...vm?.tags },
    networkJson: record.networkJson ?? null,
    tunnelJson: record.tunnelJson ?? null,
  };
}
