import * as v from "valibot";
import {
  ActionSchema,
  ApiError,
  CreateRequestSchema,
  FaultSchema,
  type Operation,
  SettingsPatchSchema,
  type StatusView,
  UserDataSchema,
} from "./api.ts";
import type { MockCloud } from "./cloud.ts";
import type { Faults } from "./faults.ts";

/** What routes act on. */
export interface Services {
  readonly cloud: MockCloud;
  readonly faults: Faults;
  readonly status: () => StatusView;
  readonly inventory: () => Promise<readonly string[]>;
}

interface RouteInput {
  readonly id: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
}

interface Outcome {
  readonly status: number;
  readonly body: unknown;
}

/** A call of the API: what it counts as (undefined: not a call that a cloud has) and what it does. */
export interface Route {
  readonly operation: Operation | undefined;
  readonly id: string;
  readonly run: (services: Services, input: RouteInput) => Promise<Outcome>;
}

type Entry = readonly [method: string, path: RegExp, operation: Operation | undefined, run: Route["run"]];

const ok = (body: unknown): Outcome => ({ status: 200, body });

/** Throws ApiError `invalid` naming the field. */
function decode<S extends v.GenericSchema>(schema: S, body: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, body);
  if (result.success) return result.output;
  const problems = result.issues.map((issue) => `${v.getDotPath(issue) ?? "the body"}: ${issue.message}`);
  throw new ApiError("invalid", problems.join("; "));
}

function tagsOf(query: URLSearchParams): Readonly<Record<string, string>> {
  return Object.fromEntries(
    query.getAll("tag").map((text) => {
      const at = text.indexOf("=");
      if (at < 1) throw new ApiError("invalid", `tag=${text} is not key=value`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

const ROUTES: readonly Entry[] = [
  [
    "POST",
    /^\/v1\/vms$/,
    "create",
    async ({ cloud }, { body }) => ({
      status: 201,
      body: await cloud.create(decode(CreateRequestSchema, body)),
    }),
  ],
  [
    "GET",
    /^\/v1\/vms$/,
    "list",
    async ({ cloud }, { query }) =>
      ok(
        cloud.list({
          tags: tagsOf(query),
          names: query.getAll("name"),
          after: query.get("after") ?? undefined,
        }),
      ),
  ],
  ["GET", /^\/v1\/vms\/([\w-]+)$/, "get", async ({ cloud }, { id }) => ok(cloud.get(id))],
  [
    "DELETE",
    /^\/v1\/vms\/([\w-]+)$/,
    "delete",
    async ({ cloud }, { id }) => ({ status: 202, body: cloud.delete(id) }),
  ],
  [
    "GET",
    /^\/v1\/vms\/([\w-]+)\/console$/,
    "console",
    async ({ cloud }, { id }) => ok({ text: cloud.console(id) }),
  ],
  [
    "PUT",
    /^\/v1\/vms\/([\w-]+)\/user-data$/,
    "user-data",
    async ({ cloud }, { id, body }) => {
      await cloud.setUserData(id, decode(UserDataSchema, body).userData);
      return ok({});
    },
  ],
  ["GET", /^\/v1\/quota$/, "quota", async ({ cloud }) => ok(cloud.quota())],
  [
    "POST",
    /^\/v1\/vms\/([\w-]+)\/actions$/,
    undefined,
    async ({ cloud }, { id, body }) => {
      await cloud.act(id, decode(ActionSchema, body));
      return ok({});
    },
  ],
  ["GET", /^\/v1\/status$/, undefined, async ({ status }) => ok(status())],
  ["GET", /^\/v1\/inventory$/, undefined, async ({ inventory }) => ok({ resources: await inventory() })],
  [
    "POST",
    /^\/v1\/faults$/,
    undefined,
    async ({ faults }, { body }) => {
      faults.arm(decode(FaultSchema, body));
      return ok({});
    },
  ],
  [
    "DELETE",
    /^\/v1\/faults$/,
    undefined,
    async ({ faults }) => {
      faults.clear();
      return ok({});
    },
  ],
  [
    "PATCH",
    /^\/v1\/settings$/,
    undefined,
    async ({ cloud }, { body }) => {
      cloud.change(decode(SettingsPatchSchema, body));
      return ok(cloud.settings);
    },
  ],
];

/** The call that a request line means, if the API has it. */
export function findRoute(method: string, path: string): Route | undefined {
  for (const [entryMethod, pattern, operation, run] of ROUTES) {
    const match = entryMethod === method ? pattern.exec(path) : null;
    if (match) return { operation, id: match[1] ?? "", run };
  }
  return undefined;
}
