import { readFileSync } from "node:fs";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { FakeAccount } from "../../../test/fakes/ibmcloud/index.ts";
import { quiet, testRequest } from "../testing.ts";
import { fromFailure, ibmFailure, toCaaError } from "./errors.ts";
import { quotaNumbers } from "./failure.ts";

const Refusal = v.object({
  is: v.string(),
  from: v.string(),
  status: v.number(),
  code: v.optional(v.string(), ""),
  hint: v.optional(v.string()),
  headers: v.optional(v.record(v.string(), v.string())),
  text: v.optional(v.string()),
  numbers: v.optional(v.object({ allocated: v.number(), quota: v.number() })),
  body: v.optional(v.looseObject({ errors: v.array(v.looseObject({ message: v.string() })) })),
});
const fixture = new URL("../../../test/fixtures/ibmcloud/refusals.json", import.meta.url);
const REFUSALS = v.parse(v.array(Refusal), JSON.parse(readFileSync(fixture, "utf8")));
const NOW_MS = Date.UTC(2026, 10, 23);
const REQUEST = testRequest();

describe("what IBM says, through the SDK", () => {
  test.each(REFUSALS.filter((one) => one.status > 0))("$status: $from is $is", async (refusal) => {
    const account = new FakeAccount();
    account.ibm.fault({
      on: "create",
      kind: refusal.status,
      text: refusal.text ?? JSON.stringify(refusal.body),
      headers: { "content-type": "application/json", ...refusal.headers },
      count: 1000,
    });
    const provider = await account.provider({ allowedProfiles: [] });
    const error: unknown = await provider.create(REQUEST, quiet()).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ kind: refusal.is });
    const text = String(error);
    expect(text).toContain(REQUEST.name);
    expect(text).not.toContain("\n");
    if (refusal.hint) expect(text).toContain(refusal.hint);
    const asked = refusal.headers?.["retry-after"];
    if (asked !== undefined) expect(error).toMatchObject({ retryAfterMs: Number(asked) * 1000 });
  });

  test.each(REFUSALS.filter((one) => one.status === 0))("an instance with $code is $is", ({ is, code }) => {
    const failure = { status: 0, code, message: "could not be started", trace: "" };
    const error = fromFailure(failure, { what: "create VM a", nowMs: NOW_MS, place: "bx2-2x8 in eu-de-1" });
    expect(error.kind).toBe(is);
    expect(error.message).toContain(code);
  });
});

test("the numbers of a quota refusal are read; another text has none", () => {
  const refusal = REFUSALS.find((one) => one.numbers);
  expect(quotaNumbers(refusal?.body?.errors[0]?.message ?? "")).toEqual(refusal?.numbers);
  expect(quotaNumbers("over quota")).toBeUndefined();
});

test("a refusal of another service that VPC passes on as text is taken out of it", () => {
  // terraform-provider-ibm issue 5389
  const message =
    'Handler Error: Status=400, JSON={"errors":[{"code":"validation_unique_failed","message":"Another VNI with the requested name already exists"}],"trace":"3cb02240"}';
  const error = Object.assign(new Error(), {
    status: 400,
    result: { errors: [{ code: "bad_field", message }], trace: "t" },
  });
  expect(ibmFailure(error, NOW_MS)).toMatchObject({ code: "validation_unique_failed", trace: "t" });
});

test("a profile of the LinuxONE families that is refused is told with what IBM has closed", () => {
  const failure = { status: 400, code: "instance_profile_not_found", message: "not found", trace: "" };
  const error = fromFailure(failure, { what: "create VM a", nowMs: NOW_MS, place: "bz2e-2x8 in eu-de-1" });
  expect(error.message).toMatch(/LinuxONE.*28 February 2026.*20 February 2027/);
});

test("what is no error of the SDK is a bug, not a cloud that cannot be reached", () => {
  expect(toCaaError(new TypeError("x is not a function"), { what: "create VM a", nowMs: NOW_MS }).kind).toBe(
    "internal",
  );
});

test("after the caller has given up everything is cancelled", () => {
  const signal = AbortSignal.abort(new Error("enough"));
  expect(toCaaError(new Error("x"), { what: "create VM a", nowMs: NOW_MS, signal }).kind).toBe("cancelled");
});

test("a host that does not resolve is told with the setting that names it", () => {
  const error = Object.assign(new Error("getaddrinfo ENOTFOUND eu-xx.iaas.cloud.ibm.com"), {
    statusText: "ENOTFOUND",
  });
  expect(toCaaError(error, { what: "create VM a", nowMs: NOW_MS }).message).toContain(
    "IBMCLOUD_VPC_ENDPOINT",
  );
});
