import { readFileSync } from "node:fs";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { azureEnclaveMachine } from "../../cli/webhook-machines.ts";
import type { PatchOperation } from "./patch.ts";
import type { WebhookPolicy } from "./policy.ts";
import { answerReview, type ReviewAnswer } from "./review.ts";
import { applyPatch } from "./test-patch.ts";
import { testPolicy } from "./test-policy.ts";

const LIMITS = "io.katacontainers.peerpods.limits";
const ORIGINAL = "kata.peerpods.io/original-resources";
const OWN: readonly string[] = [LIMITS, ORIGINAL];

const operation = v.variant("op", [
  v.object({ op: v.literal("add"), path: v.string(), value: v.unknown() }),
  v.object({ op: v.literal("replace"), path: v.string(), value: v.unknown() }),
  v.object({ op: v.literal("remove"), path: v.string() }),
]);
const cases = v.parse(
  v.array(
    v.object({
      row: v.number(),
      title: v.string(),
      /** What the Go webhook does where we do better. */
      upstream: v.optional(v.string()),
      policy: v.optional(
        v.object({
          runtimeClass: v.optional(v.string()),
          extendedResource: v.optional(v.string()),
          enclaveSizes: v.optional(v.array(v.string())),
        }),
        {},
      ),
      pod: v.optional(v.looseObject({})),
      body: v.optional(v.string()),
      expect: v.union([
        v.object({
          operations: v.array(operation),
          limits: v.optional(v.unknown()),
          original: v.optional(v.unknown()),
        }),
        v.object({ denied: v.object({ code: v.number(), message: v.string() }) }),
      ]),
    }),
  ),
  JSON.parse(readFileSync(new URL("../../../test/fixtures/webhook/cases.json", import.meta.url), "utf8")),
);
type Case = (typeof cases)[number];

function policyOf({ policy: { enclaveSizes, ...named } }: Case): WebhookPolicy {
  const machines = {
    defaultSize: "Standard_DC2as_v5",
    sizes: enclaveSizes ?? [],
    key: "AZURE_INSTANCE_SIZES",
  };
  const set = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
  return testPolicy({
    ...set,
    ...(enclaveSizes ? { chooseEnclaveMachine: azureEnclaveMachine(machines, "upstream") } : {}),
  });
}

function ask(one: Case): ReviewAnswer["response"] {
  const review = {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: {
      uid: `row-${one.row}`,
      operation: "CREATE",
      resource: { group: "", version: "v1", resource: "pods" },
      object: one.pod,
    },
  };
  return answerReview(one.body ?? JSON.stringify(review), policyOf(one)).answer.response;
}

const patchOf = (response: ReviewAnswer["response"]): readonly PatchOperation[] =>
  response.patch === undefined
    ? []
    : v.parse(v.array(operation), JSON.parse(Buffer.from(response.patch, "base64").toString()));

/** Without what concerns our own annotations alone, and without an order. */
function asSet(operations: readonly PatchOperation[]): readonly string[] {
  const place = "/metadata/annotations";
  return operations
    .filter((one) => !OWN.some((key) => one.path === `${place}/${key.replace("/", "~1")}`))
    .flatMap((one) => {
      if (one.path !== place || one.op === "remove") return [one];
      const others = Object.entries(v.parse(v.record(v.string(), v.string()), one.value)).filter(
        ([key]) => !OWN.includes(key),
      );
      return others.length === 0 ? [] : [{ ...one, value: Object.fromEntries(others) }];
    })
    .map((one) => JSON.stringify(sorted(one)))
    .sort();
}

const sorted = (value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(
        Object.entries(value)
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([key, inner]) => [key, sorted(inner)]),
      )
    : value;

const annotated = v.object({
  metadata: v.object({ annotations: v.optional(v.record(v.string(), v.string()), {}) }),
});

/** The pod as patched, our own annotations apart. */
function patched(
  pod: unknown,
  operations: readonly PatchOperation[],
): {
  readonly pod: unknown;
  readonly own: Readonly<Record<string, unknown>>;
} {
  const after = applyPatch(pod, operations);
  const { annotations } = v.parse(annotated, after).metadata;
  const removals = OWN.filter((key) => Object.hasOwn(annotations, key)).map(
    (key): PatchOperation => ({ op: "remove", path: `/metadata/annotations/${key.replace("/", "~1")}` }),
  );
  const rest = applyPatch(after, removals);
  const isBare = Object.keys(annotations).length === removals.length && removals.length > 0;
  return {
    pod: isBare ? applyPatch(rest, [{ op: "remove", path: "/metadata/annotations" }]) : rest,
    own: Object.fromEntries(removals.length === 0 ? [] : OWN.map((key) => [key, parsed(annotations[key])])),
  };
}

const parsed = (text: string | undefined): unknown => (text === undefined ? undefined : JSON.parse(text));

describe("the worked cases of a pod's creation", () => {
  test("are 36", () => {
    expect(cases.map((one) => one.row)).toEqual(Array.from({ length: 36 }, (_, index) => index + 1));
  });

  test.each(cases)("row $row: $title", (one) => {
    const response = ask(one);
    if ("denied" in one.expect) {
      expect(response.allowed).toBe(false);
      expect(response.status?.code).toBe(one.expect.denied.code);
      expect(response.status?.message).toContain(one.expect.denied.message);
      return;
    }
    expect(response).toMatchObject({ allowed: true, uid: `row-${one.row}` });
    const operations = patchOf(response);
    expect(asSet(operations)).toEqual(asSet(one.expect.operations));
    const after = patched(one.pod, operations);
    expect(after.pod).toEqual(patched(one.pod, one.expect.operations).pod);
    // A pod that had them brings them along: row 25.
    const unchanged = one.expect.operations.length === 0;
    expect(after.own[LIMITS]).toEqual(unchanged ? undefined : one.expect.limits);
    expect(after.own[ORIGINAL]).toEqual(unchanged ? undefined : one.expect.original);
  });

  test.each(cases.filter((one) => one.pod !== undefined && !("denied" in one.expect)))(
    "row $row, asked again of the result, changes nothing more",
    (one) => {
      const after = applyPatch(one.pod, patchOf(ask(one)));
      expect(patchOf(ask({ ...one, pod: v.parse(v.looseObject({}), after) }))).toEqual([]);
    },
  );
});
