import { readFileSync } from "node:fs";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { Secret } from "../../../src/platform/index.ts";
import { FakeAccount } from "../../../test/fakes/azure/index.ts";
import { azureFailure, fromFailure, toCaaError } from "./errors.ts";
import { quotaNumbers } from "./failure.ts";

const Refusal = v.object({
  is: v.string(),
  from: v.string(),
  status: v.number(),
  hint: v.optional(v.string()),
  headers: v.optional(v.record(v.string(), v.string())),
  text: v.optional(v.string()),
  numbers: v.optional(v.object({ limit: v.number(), usage: v.number(), required: v.number() })),
  body: v.optional(v.object({ error: v.object({ code: v.string(), message: v.string() }) })),
});
const fixture = new URL("../../../test/fixtures/azure/refusals.json", import.meta.url);
const raw: unknown = JSON.parse(readFileSync(fixture, "utf8"));
const parsed = v.parse(v.array(v.looseObject(Refusal.entries)), raw);
/** As it stands in the file, details included. */
const REFUSALS = parsed.map((one, index) => ({
  ...one,
  json: Array.isArray(raw) ? JSON.stringify(Reflect.get(raw[index], "body")) : "",
}));
const NOW_MS = Date.UTC(2026, 10, 23);
const REQUEST = {
  name: "podvm-a-12345678",
  tags: {},
  userData: new Secret(""),
  size: { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 },
  image: "",
  dedicatedTunnelInterface: false,
  externalNetworkInterface: false,
  volumes: [],
};
const QUIET = {
  signal: new AbortController().signal,
  onId: (): void => undefined,
  onProgress: (): void => undefined,
};

describe("what Azure says, through the SDK", () => {
  test.each(REFUSALS.filter((one) => one.status > 0))("$status: $from is $is", async (refusal) => {
    const account = new FakeAccount();
    account.azure.fault({
      on: "create",
      kind: refusal.status,
      text: refusal.text ?? refusal.json,
      headers: refusal.headers ?? {},
      count: 1000,
    });
    const provider = await account.provider({ allowedSizes: [] });
    const error: unknown = await provider.create(REQUEST, QUIET).catch((reason: unknown) => reason);
    // An existing VM is looked for, and there is none: then the refusal stands.
    expect(error).toMatchObject({ kind: refusal.is });
    expect(String(error)).toContain(REQUEST.name);
    expect(String(error)).not.toMatch(/\n|<html>.*\n/);
    if (refusal.hint) expect(String(error)).toContain(refusal.hint);
    const asked = refusal.headers?.["retry-after"];
    if (asked !== undefined) expect(error).toMatchObject({ retryAfterMs: Number(asked) * 1000 });
  });

  test.each(REFUSALS.filter((one) => one.status === 0))(
    "an operation that fails: $from is $is",
    (refusal) => {
      const { code = "", message = "" } = refusal.body?.error ?? {};
      const thrown = new Error(`The long-running operation has failed. ${code}. ${message}`);
      const failure = azureFailure(thrown, NOW_MS);
      expect(failure).toEqual({ status: 0, code, message });
      expect(toCaaError(thrown, { what: "create VM a", nowMs: NOW_MS }).kind).toBe(refusal.is);
    },
  );
});

test("the numbers of a quota refusal are read and told", () => {
  const refusal = REFUSALS.find((one) => one.numbers);
  const message = refusal?.body?.error.message ?? "";
  expect(quotaNumbers(message)).toEqual(refusal?.numbers);
  const error = fromFailure(
    { status: 409, code: "OperationNotAllowed", message },
    { what: "create VM a", nowMs: NOW_MS, place: "Standard_DC4as_v5" },
  );
  expect(error.message).toMatch(/quota does not allow Standard_DC4as_v5: 8 of 10 used and 4 more needed/);
});

test("a text that is no quota refusal gives no numbers", () => {
  expect(quotaNumbers("exceeding quota")).toBeUndefined();
});

test("an operation that fails without a reason is told as that", () => {
  expect(azureFailure(new Error("The long-running operation has failed"), NOW_MS)).toEqual({
    status: 0,
    code: "",
    message: "no reason given",
  });
});

test("what is no error of the SDK is a bug, not a cloud that cannot be reached", () => {
  const error = toCaaError(new TypeError("x is not a function"), { what: "create VM a", nowMs: NOW_MS });
  expect(error.kind).toBe("internal");
});

test("after the caller has given up everything is cancelled", () => {
  const signal = AbortSignal.abort(new Error("enough"));
  expect(toCaaError(new Error("x"), { what: "create VM a", nowMs: NOW_MS, signal }).kind).toBe("cancelled");
});
