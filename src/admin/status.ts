import * as v from "valibot";
import { unavailable } from "../errors/index.ts";

/** A time as people and scripts read it: ISO 8601, UTC. */
type Time = string;

/** One pod of this node. Text is "" and values are null where there is nothing to say. */
export interface PodStatus {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | null;
  readonly sandboxId: string;
  /** creating, created, starting, running, failed or stopping. */
  readonly phase: string;
  readonly createdAt: Time;
  /** Since when it is in its phase. */
  readonly changedAt: Time;
  readonly vm: {
    readonly name: string;
    readonly id: string | null;
    /** intended, created, running or deleting; null: there is none yet, or none any more. */
    readonly phase: string | null;
    readonly addresses: readonly string[];
    readonly deleteAttempts: number;
  };
  readonly tunnel: { readonly type: string; readonly id: number | null; readonly made: boolean };
  readonly link: {
    /** dialing, up, down or lost; null: not dialled yet. */
    readonly state: string | null;
    readonly reason: string;
    readonly breaks: number;
    /** What breaks cost the pod, as far as this process has seen it. */
    readonly losses: number;
  };
  /** What it waits for, or what is being done. */
  readonly doing: { readonly text: string; readonly since: Time } | null;
  readonly lastError: { readonly kind: string; readonly text: string } | null;
}

/** A VM that no pod of this node has: it waits in the pool, or is being deleted. */
export interface OtherVm {
  readonly name: string;
  readonly id: string | null;
  readonly phase: string;
  readonly since: Time;
  readonly deleteAttempts: number;
  readonly lastError: string | null;
}

/** A key of the configuration, and what is to be said about it. */
export interface KeyNote {
  readonly key: string;
  readonly text: string;
}

export interface ConfigurationStatus {
  /** `environment`, or the ConfigMap that is watched. */
  readonly source: string;
  /** Why the ConfigMap cannot be read now. */
  readonly trouble: string | null;
  /** When a change took effect last. */
  readonly changedAt: Time | null;
  /** Wrong values: the old ones are still in force. */
  readonly wrong: readonly KeyNote[];
  /** Keys that nothing here knows. */
  readonly unknown: readonly KeyNote[];
  /** Changed values that take effect when the adaptor is started again. */
  readonly needRestart: readonly KeyNote[];
  /** Keys whose value in the ConfigMap does not count: a flag or the container's own environment gives one. */
  readonly overridden: readonly KeyNote[];
}

/** What the adaptor keeps in the cluster. */
export interface ClusterStatus {
  /** How the node's capacity becomes known: status, device-plugin or off. */
  readonly nodeResource: string;
  /** What cannot be done now and is tried again, one sentence each. */
  readonly troubles: readonly string[];
}

/** What `GET /status` answers. Later releases add to it and change nothing. */
export interface Status {
  readonly schema: 1;
  readonly at: Time;
  readonly program: {
    readonly version: string;
    readonly node: string;
    readonly pid: number;
    readonly startedAt: Time;
  };
  readonly provider: string;
  readonly nodeName: string;
  readonly clusterId: string;
  /** starting, standby, attaching, recovering, serving or ending. */
  readonly stage: string;
  readonly ready: boolean;
  readonly live: boolean;
  readonly reasons: readonly string[];
  /** Which term of ownership this is; null: another process owns the node, or none yet. */
  readonly epoch: number | null;
  readonly shimProxy: {
    readonly socket: string;
    readonly attached: boolean;
    readonly instanceId: string | null;
    readonly version: string | null;
  };
  readonly limit: {
    /** Most VMs of this node; null: any number. */
    readonly most: number | null;
    readonly used: number;
    readonly deleting: number;
    /** Of those used, VMs that wait for pods. */
    readonly pool: number;
  };
  readonly logLevel: string;
  readonly configuration: ConfigurationStatus;
  /** Null: not in Kubernetes. */
  readonly cluster: ClusterStatus | null;
  readonly pods: readonly PodStatus[];
  readonly otherVms: readonly OtherVm[];
}

const orNull = <S extends v.GenericSchema>(schema: S) => v.nullable(schema);
const text = v.string();

const POD: v.GenericSchema<unknown, PodStatus> = v.object({
  namespace: text,
  name: text,
  uid: orNull(text),
  sandboxId: text,
  phase: text,
  createdAt: text,
  changedAt: text,
  vm: v.object({
    name: text,
    id: orNull(text),
    phase: orNull(text),
    addresses: v.array(text),
    deleteAttempts: v.number(),
  }),
  tunnel: v.object({ type: text, id: orNull(v.number()), made: v.boolean() }),
  link: v.object({ state: orNull(text), reason: text, breaks: v.number(), losses: v.number() }),
  doing: orNull(v.object({ text, since: text })),
  lastError: orNull(v.object({ kind: text, text })),
});

const OTHER_VM: v.GenericSchema<unknown, OtherVm> = v.object({
  name: text,
  id: orNull(text),
  phase: text,
  since: text,
  deleteAttempts: v.number(),
  lastError: orNull(text),
});

const NOTES = v.array(v.object({ key: text, text }));

const STATUS: v.GenericSchema<unknown, Status> = v.object({
  schema: v.literal(1),
  at: text,
  program: v.object({ version: text, node: text, pid: v.number(), startedAt: text }),
  provider: text,
  nodeName: text,
  clusterId: text,
  stage: text,
  ready: v.boolean(),
  live: v.boolean(),
  reasons: v.array(text),
  epoch: orNull(v.number()),
  shimProxy: v.object({
    socket: text,
    attached: v.boolean(),
    instanceId: orNull(text),
    version: orNull(text),
  }),
  limit: v.object({ most: orNull(v.number()), used: v.number(), deleting: v.number(), pool: v.number() }),
  logLevel: text,
  configuration: v.object({
    source: text,
    trouble: orNull(text),
    changedAt: orNull(text),
    wrong: NOTES,
    unknown: NOTES,
    needRestart: NOTES,
    overridden: NOTES,
  }),
  // Adaptors from before it say nothing.
  cluster: v.optional(orNull(v.object({ nodeResource: text, troubles: v.array(text) })), null),
  pods: v.array(POD),
  otherVms: v.array(OTHER_VM),
});

/** What `GET /inspect` answers: everything known of one pod, without secrets. */
export interface Inspection {
  readonly schema: 1;
  readonly at: Time;
  /** Null: the pod is gone, and only what happened is remembered. */
  readonly pod: PodStatus | null;
  /** What CreateVM asked for and the journal holds; null: gone. */
  readonly record: PodRecord | null;
  readonly sandboxId: string;
  readonly namespace: string;
  readonly name: string;
  readonly vmName: string;
  readonly timeline: readonly {
    readonly at: Time;
    /** done, failed, waiting, link, loss, vm-gone or abandoned. */
    readonly what: string;
    readonly step: string;
    readonly text: string;
    readonly durationMs: number | null;
  }[];
  readonly cloudErrors: readonly {
    readonly at: Time;
    readonly step: string;
    readonly kind: string;
    readonly text: string;
  }[];
  /** Other sandboxes of the same pod that are known. */
  readonly otherSandboxes: readonly string[];
  /** When asked for: the newest part of the VM's console. */
  readonly console: string | null;
}

export interface PodRecord {
  readonly netns: string;
  readonly machineType: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly gpus: number;
  /** "": the provider's own. */
  readonly image: string;
  readonly initdataBytes: number;
  readonly serverName: string | null;
  readonly volumes: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
  /** What was read of the pod's network, and the tunnel's plan: JSON that only src/pod-network understands. */
  readonly networkJson: string | null;
  readonly tunnelJson: string | null;
}

const RECORD: v.GenericSchema<unknown, PodRecord> = v.object({
  netns: text,
  machineType: text,
  vcpus: v.number(),
  memoryMiB: v.number(),
  gpus: v.number(),
  image: text,
  initdataBytes: v.number(),
  serverName: orNull(text),
  volumes: v.array(text),
  tags: v.record(text, text),
  networkJson: orNull(text),
  tunnelJson: orNull(text),
});

const INSPECTION: v.GenericSchema<unknown, Inspection> = v.object({
  schema: v.literal(1),
  at: text,
  pod: orNull(POD),
  record: orNull(RECORD),
  sandboxId: text,
  namespace: text,
  name: text,
  vmName: text,
  timeline: v.array(v.object({ at: text, what: text, step: text, text, durationMs: orNull(v.number()) })),
  cloudErrors: v.array(v.object({ at: text, step: text, kind: text, text })),
  otherSandboxes: v.array(text),
  console: orNull(text),
});

function parse<T>(schema: v.GenericSchema<unknown, T>, body: string): T {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), body);
  if (result.success) return result.output;
  const where = v.getDotPath(result.issues[0]) ?? "the whole";
  throw unavailable(
    `the adaptor's answer is not understood (${where}: ${result.issues[0].message}); is it of another release?`,
  );
}

/** Reads what `GET /status` answered. Throws `unavailable` for what is not that. */
export const parseStatus = (body: string): Status => parse(STATUS, body);

/** Reads what `GET /inspect` answered. Throws `unavailable` for what is not that. */
export const parseInspection = (body: string): Inspection => parse(INSPECTION, body);
