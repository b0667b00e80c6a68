import type { SQLOutputValue } from "node:sqlite";
import * as v from "valibot";
import { isCaaError, journalFailed, KINDS } from "../errors/index.ts";
import { Secret } from "../platform/index.ts";

/**
 * Where a sandbox is in its life.
 * - creating: CreateVM has reserved a slot and is preparing; nothing answered yet
 * - created: CreateVM was answered, StartVM is expected
 * - starting: StartVM is under way; there is a row in `vms`
 * - running: StartVM was answered
 * - failed: StartVM failed and is answered the same way again until StopVM; its VM, if any, is being deleted
 * - stopping: StopVM was asked for (or the shim is gone); the row goes when nothing is left
 */
export type SandboxPhase = "creating" | "created" | "starting" | "running" | "failed" | "stopping";

/**
 * Where a VM is.
 * - intended: a create may be under way or may have happened
 * - created: the cloud told its id
 * - running: its addresses are known
 * - deleting: it is to go; the row goes when the cloud says that it is gone
 */
export type VmPhase = "intended" | "created" | "running" | "deleting";

/** How a StartVM failed, to be answered again. */
export interface RecordedFailure {
  readonly kind: keyof typeof KINDS;
  readonly message: string;
}

export interface SandboxRecord {
  readonly id: string;
  readonly phase: SandboxPhase;
  readonly podName: string;
  readonly podNamespace: string;
  readonly podUid: string | undefined;
  readonly netns: string;
  /** What CreateVM asked for, in a form that the sandbox folder owns. */
  readonly requestJson: string;
  readonly vxlanId: number | undefined;
  /** Chosen at CreateVM; also the TLS server name unless `serverName` says otherwise. */
  readonly vmName: string;
  readonly networkJson: string | undefined;
  readonly tunnelJson: string | undefined;
  /** Direct-assigned volumes, as fixed at CreateVM. */
  readonly volumesJson: string | undefined;
  readonly serverName: string | undefined;
  readonly caPem: string | undefined;
  readonly clientCertPem: string | undefined;
  readonly clientKeyPem: Secret | undefined;
  /** Holds the VM's server key; wiped once StartVM has succeeded. */
  readonly userData: Secret | undefined;
  readonly failure: RecordedFailure | undefined;
  readonly createdMs: number;
  readonly changedMs: number;
}

export interface VmRecord {
  readonly name: string;
  readonly sandboxId: string | undefined;
  readonly provider: string;
  readonly vmId: string | undefined;
  readonly phase: VmPhase;
  readonly tags: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  /** It came from the pool, and has not been told yet which pod it is for. */
  readonly userDataDue: boolean;
  readonly deleteAttempts: number;
  readonly lastError: string | undefined;
  readonly createdMs: number;
  readonly changedMs: number;
}

const optionalText = v.nullable(v.string());

const sandboxRow = v.object({
  id: v.string(),
  phase: v.picklist(["creating", "created", "starting", "running", "failed", "stopping"]),
  pod_name: v.string(),
  pod_namespace: v.string(),
  pod_uid: optionalText,
  netns: v.string(),
  request_json: v.string(),
  vxlan_id: v.nullable(v.number()),
  vm_name: v.string(),
  network_json: optionalText,
  tunnel_json: optionalText,
  volumes_json: optionalText,
  server_name: optionalText,
  ca_pem: optionalText,
  client_cert_pem: optionalText,
  client_key_pem: optionalText,
  user_data: optionalText,
  failure_json: optionalText,
  created_ms: v.number(),
  changed_ms: v.number(),
});

const json = <S extends v.GenericSchema>(schema: S) => v.pipe(v.string(), v.parseJson(), schema);

const vmRow = v.object({
  name: v.string(),
  sandbox_id: optionalText,
  provider: v.string(),
  vm_id: optionalText,
  phase: v.picklist(["intended", "created", "running", "deleting"]),
  tags_json: json(v.record(v.string(), v.string())),
  addresses_json: v.nullable(json(v.array(v.string()))),
  user_data_due: v.optional(v.number(), 0),
  delete_attempts: v.number(),
  last_error: optionalText,
  created_ms: v.number(),
  changed_ms: v.number(),
});

const goingVmRow = v.object({
  ...vmRow.entries,
  tags_json: v.fallback(vmRow.entries.tags_json, {}),
  addresses_json: v.fallback(vmRow.entries.addresses_json, null),
});

const failureText = json(
  v.object({
    kind: v.custom<keyof typeof KINDS>((kind) => typeof kind === "string" && Object.hasOwn(KINDS, kind)),
    message: v.string(),
  }),
);

type Row = Record<string, SQLOutputValue>;

/** The row as the schema has it. Throws `journal` when it does not fit. */
export function parseRow<S extends v.GenericSchema>(table: string, schema: S, row: Row): v.InferOutput<S> {
  const result = v.safeParse(schema, row);
  if (result.success) return result.output;
  const where = v.getDotPath(result.issues[0]) ?? "?";
  const key = String(row["id"] ?? row["name"] ?? "?");
  throw journalFailed(
    `row ${key} of the journal's table ${table} cannot be read (column ${where}), and is set aside: it holds its slot, its VM is kept. Delete its pod, or see docs/troubleshooting.md`,
  );
}

/** The record; undefined for a row that cannot be read, which `SetAsideRows` tells of. */
export function readRow<T>(row: Row, decode: (row: Row) => T): T | undefined {
  try {
    return decode(row);
  } catch (error) {
    if (isCaaError(error, "journal")) return undefined;
    throw error;
  }
}

/** Without those that cannot be read. */
export const readRows = <T>(rows: readonly Row[], decode: (row: Row) => T): T[] =>
  rows.map((row) => readRow(row, decode)).filter((record) => record !== undefined);

/** Throws `journal` when the row makes no sense. */
export function decodeSandbox(row: Row): SandboxRecord {
  const r = parseRow("sandboxes", sandboxRow, row);
  return {
    id: r.id,
    phase: r.phase,
    podName: r.pod_name,
    podNamespace: r.pod_namespace,
    podUid: r.pod_uid ?? undefined,
    netns: r.netns,
    requestJson: r.request_json,
    vxlanId: r.vxlan_id ?? undefined,
    vmName: r.vm_name,
    networkJson: r.network_json ?? undefined,
    tunnelJson: r.tunnel_json ?? undefined,
    volumesJson: r.volumes_json ?? undefined,
    serverName: r.server_name ?? undefined,
    caPem: r.ca_pem ?? undefined,
    clientCertPem: r.client_cert_pem ?? undefined,
    clientKeyPem: r.client_key_pem === null ? undefined : new Secret(r.client_key_pem),
    userData: r.user_data === null ? undefined : new Secret(r.user_data),
    failure: r.failure_json === null ? undefined : parseFailure(r.failure_json),
    createdMs: r.created_ms,
    changedMs: r.changed_ms,
  };
}

/** A failure of an unknown kind (a later release's) counts as `internal`. */
function parseFailure(text: string): RecordedFailure {
  const result = v.safeParse(failureText, text);
  return result.success ? result.output : { kind: "internal", message: text };
}

/** Throws `journal` when the row makes no sense. Of a VM that is to go only name and id are needed. */
export function decodeVm(row: Row): VmRecord {
  const isGoing = row["phase"] === "deleting";
  const r = parseRow("vms", isGoing ? goingVmRow : vmRow, row);
  return {
    name: r.name,
    sandboxId: r.sandbox_id ?? undefined,
    provider: r.provider,
    vmId: r.vm_id ?? undefined,
    phase: r.phase,
    tags: r.tags_json,
    addresses: r.addresses_json ?? [],
    userDataDue: r.user_data_due !== 0,
    deleteAttempts: r.delete_attempts,
    lastError: r.last_error ?? undefined,
    createdMs: r.created_ms,
    changedMs: r.changed_ms,
  };
}
