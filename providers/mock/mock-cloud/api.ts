import * as v from "valibot";

/** What decodes into a `T`. */
export type Schema<T> = v.GenericSchema<unknown, T>;

/** Calls that count and can be made to fail. */
export const OPERATIONS = ["create", "get", "list", "delete", "console", "user-data", "quota"] as const;
export type Operation = (typeof OPERATIONS)[number];

/**
 * How a call fails. The first six are answered at once and nothing is done; `lost`: done, then the connection is cut without an answer; `hang`:
 * nothing is done and no answer comes until the client leaves.
 */
export const FAULT_KINDS = [
  "quota",
  "capacity",
  "throttled",
  "unavailable",
  "unauthorised",
  "invalid",
  "lost",
  "hang",
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** The answer's `error.kind`, and the HTTP status it comes with. */
export const ERROR_STATUS = {
  invalid: 400,
  unauthorised: 401,
  quota: 403,
  "not-found": 404,
  "already-exists": 409,
  "wrong-state": 412,
  throttled: 429,
  internal: 500,
  unsupported: 501,
  unavailable: 503,
  capacity: 507,
} as const;
export type ApiErrorKind = keyof typeof ERROR_STATUS;

const isErrorKind = (kind: string): kind is ApiErrorKind => Object.hasOwn(ERROR_STATUS, kind);

const Name = v.pipe(v.string(), v.regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/));
const Tags = v.record(
  v.pipe(v.string(), v.minLength(1), v.maxLength(128)),
  v.pipe(v.string(), v.maxLength(256)),
);
const Milliseconds = v.pipe(v.number(), v.integer(), v.minValue(0));
const Count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** Body of `POST /v1/vms`. */
export interface CreateRequest {
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly userData: string;
  /** Absent: the machine room's default. A name is looked up in its folder of images. */
  readonly image?: { readonly name: string } | { readonly path: string };
  /** Network interfaces, 1 to 3; absent: 1. */
  readonly interfaces?: number;
}
export const CreateRequestSchema: Schema<CreateRequest> = v.strictObject({
  name: Name,
  tags: Tags,
  userData: v.string(),
  image: v.exactOptional(
    v.union([v.strictObject({ name: v.string() }), v.strictObject({ path: v.string() })]),
  ),
  interfaces: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(3))),
});

export interface VmView {
  readonly id: string;
  readonly name: string;
  readonly lifecycle: "creating" | "running" | "stopped" | "failed" | "deleting";
  readonly addresses: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
  readonly createdAtMs: number;
  readonly detail?: string;
}
export const VmSchema: Schema<VmView> = v.object({
  id: v.string(),
  name: v.string(),
  lifecycle: v.picklist(["creating", "running", "stopped", "failed", "deleting"]),
  addresses: v.array(v.string()),
  tags: v.record(v.string(), v.string()),
  createdAtMs: v.number(),
  detail: v.exactOptional(v.string()),
});

/** Answer of `GET /v1/vms`; `next` asks for the following page. */
export interface VmPage {
  readonly vms: readonly VmView[];
  readonly next?: string;
}
export const VmPageSchema: Schema<VmPage> = v.object({
  vms: v.array(VmSchema),
  next: v.exactOptional(v.string()),
});

export const ConsoleSchema: Schema<{ readonly text: string }> = v.object({ text: v.string() });
export const UserDataSchema: Schema<{ readonly userData: string }> = v.strictObject({ userData: v.string() });

/** `limit` 0: none. */
export interface QuotaView {
  readonly limit: number;
  readonly used: number;
}
export const QuotaSchema: Schema<QuotaView> = v.object({ limit: v.number(), used: v.number() });

/** Body of `POST /v1/faults`. */
export interface Fault {
  readonly operation: Operation | "any";
  readonly kind: FaultKind;
  /** Calls that fail; default 1. */
  readonly count?: number;
  /** Calls that are let through before; default 0. */
  readonly skip?: number;
  /** For `throttled`. */
  readonly retryAfterMs?: number;
}
export const FaultSchema: Schema<Fault> = v.strictObject({
  operation: v.union([v.picklist(OPERATIONS), v.literal("any")]),
  kind: v.picklist(FAULT_KINDS),
  count: v.exactOptional(v.pipe(Count, v.minValue(1))),
  skip: v.exactOptional(Count),
  retryAfterMs: v.exactOptional(Milliseconds),
});

/** Body of `PATCH /v1/settings`: what is absent stays. */
export interface SettingsPatch {
  readonly bootDelayMs?: number;
  readonly tagDelayMs?: number;
  readonly addressDelayMs?: number;
  readonly deleteDelayMs?: number;
  readonly quota?: number;
  readonly userDataLimitBytes?: number;
  readonly pageSize?: number;
  /** The next boots that fail. */
  readonly bootFailures?: number;
}
export const SettingsPatchSchema: Schema<SettingsPatch> = v.strictObject({
  bootDelayMs: v.exactOptional(Milliseconds),
  tagDelayMs: v.exactOptional(Milliseconds),
  addressDelayMs: v.exactOptional(Milliseconds),
  deleteDelayMs: v.exactOptional(Milliseconds),
  quota: v.exactOptional(Count),
  userDataLimitBytes: v.exactOptional(v.pipe(Count, v.minValue(1))),
  pageSize: v.exactOptional(v.pipe(Count, v.minValue(1))),
  bootFailures: v.exactOptional(Count),
});

/** Body of `POST /v1/vms/<id>/actions`: what happens to VMs. */
export type Action =
  /** Power cut: the VM is then "stopped". */
  | { readonly action: "kill" }
  /** Deleted by somebody else: the cloud knows nothing of it any more. */
  | { readonly action: "vanish" }
  /** Every process is stopped, or goes on. */
  | { readonly action: "freeze" | "thaw" }
  /** TCP connections are reset; packets vanish; packets pass again. */
  | { readonly action: "link-reset" | "link-down" | "link-up" }
  /** This share of packets is lost, each way. */
  | { readonly action: "link-loss"; readonly percent: number };
export const ActionSchema: Schema<Action> = v.variant("action", [
  v.strictObject({
    action: v.picklist(["kill", "vanish", "freeze", "thaw", "link-reset", "link-down", "link-up"]),
  }),
  v.strictObject({
    action: v.literal("link-loss"),
    percent: v.pipe(v.number(), v.minValue(0), v.maxValue(100)),
  }),
]);

/** Answer of `GET /v1/status`. */
export interface StatusView {
  readonly instance: string;
  readonly rootless: boolean;
  /** The default image. */
  readonly image: string;
  readonly userDataLimitBytes: number;
  readonly vms: number;
  readonly quota: number;
  readonly pid: number;
}
export const StatusSchema: Schema<StatusView> = v.object({
  instance: v.string(),
  rootless: v.boolean(),
  image: v.string(),
  userDataLimitBytes: v.number(),
  vms: v.number(),
  quota: v.number(),
  pid: v.number(),
});

/** Answer of `GET /v1/inventory`: what exists on the machine for VMs, one text each. */
export const InventorySchema: Schema<{ readonly resources: readonly string[] }> = v.object({
  resources: v.array(v.string()),
});

/** Body of every answer that is not a success. */
export interface ErrorBody {
  readonly error: { readonly kind: ApiErrorKind; readonly message: string; readonly retryAfterMs?: number };
}
export const ErrorSchema: Schema<ErrorBody> = v.object({
  error: v.object({
    kind: v.pipe(
      v.string(),
      v.transform((kind): ApiErrorKind => (isErrorKind(kind) ? kind : "internal")),
    ),
    message: v.string(),
    retryAfterMs: v.exactOptional(v.number()),
  }),
});

/** An answer that is not a success. */
export class ApiError extends Error {
  readonly kind: ApiErrorKind;
  readonly retryAfterMs: number | undefined;

  constructor(kind: ApiErrorKind, message: string, retryAfterMs?: number) {
    super(message);
    this.name = "ApiError";
    this.kind = kind;
    this.retryAfterMs = retryAfterMs;
  }
}
