import * as fc from "fast-check";
import { expect, test } from "vitest";
import { mergeAuths, readPullSecret } from "./merge-pull-secrets.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const config = (document: unknown) => ({
  type: "kubernetes.io/dockerconfigjson",
  data: { ".dockerconfigjson": base64(JSON.stringify(document)) },
});
const old = (document: unknown) => ({
  type: "kubernetes.io/dockercfg",
  data: { ".dockercfg": base64(JSON.stringify(document)) },
});
const authsOf = (secret: Parameters<typeof readPullSecret>[0]) => {
  const read = readPullSecret(secret);
  return "auths" in read ? Object.fromEntries(read.auths) : read.problem;
};

test("both types of secret are read, and auth is made of user and password where it is missing", () => {
  const entry = { username: "u", password: "p", email: "e" };
  expect(authsOf(config({ auths: { "r.example": { auth: "eA==" }, "s.example": entry } }))).toEqual({
    "r.example": "eA==",
    "s.example": base64("u:p"),
  });
  expect(authsOf(old({ "r.example": entry }))).toEqual({ "r.example": base64("u:p") });
});

test("an entry without credentials is left out", () => {
  expect(authsOf(config({ auths: { a: {}, b: { username: "u" }, c: { auth: "" } } }))).toEqual({});
});

test.each([
  ["another type", { type: "Opaque", data: {} }, "type Opaque"],
  ["no type", { data: {} }, "type (none)"],
  ["no document", { type: "kubernetes.io/dockercfg", data: {} }, "no key .dockercfg"],
  [
    "no JSON",
    { type: "kubernetes.io/dockercfg", data: { ".dockercfg": base64("hunter2") } },
    "is not the JSON",
  ],
  ["other JSON", config({ auths: { r: "hunter2" } }), "is not the JSON"],
])("a secret of %s is a problem that says nothing of its content", (_name, secret, text) => {
  const problem = authsOf(secret);
  expect(problem).toContain(text);
  expect(problem).not.toContain("hunter2");
});

const big = (registry: string): Map<string, string> => new Map([[registry, "x".repeat(6000)]]);

test("later secrets win per registry", () => {
  const { json } = mergeAuths(
    [
      new Map([
        ["r", "1"],
        ["s", "1"],
      ]),
      new Map([["r", "2"]]),
    ],
    [],
    12_288,
  );
  expect(JSON.parse(json ?? "")).toEqual({ auths: { r: { auth: "2" }, s: { auth: "1" } } });
});

test("without credentials there is no document", () => {
  expect(mergeAuths([new Map()], ["r.example/a"], 12_288)).toEqual({ json: undefined, leftOut: [] });
});

test("at the limit all is kept, above it what no image of the pod needs is left out", () => {
  const all = [big("r.example"), big("s.example")];
  const size = Buffer.byteLength(mergeAuths(all, [], 1e6).json ?? "");
  expect(mergeAuths(all, ["r.example/a"], size).leftOut).toEqual([]);
  const narrowed = mergeAuths(all, ["r.example/a:1"], size - 1);
  expect(narrowed.leftOut).toEqual(["s.example"]);
  expect(Object.keys(JSON.parse(narrowed.json ?? "").auths)).toEqual(["r.example"]);
});

test("nothing that an image needs is left out, however large", () => {
  const { json, leftOut } = mergeAuths(
    [big("r.example"), big("s.example")],
    ["r.example/a", "s.example/b"],
    100,
  );
  expect(leftOut).toEqual([]);
  expect(Buffer.byteLength(json ?? "")).toBeGreaterThan(12_000);
});

test.each([
  ["https://index.docker.io/v1/", "nginx", true],
  ["docker.io", "library/nginx@sha256:0", true],
  ["quay.io", "nginx", false],
  ["quay.io/team", "quay.io/team/app", true],
  ["*.azurecr.io", "mine.azurecr.io/app", true],
  ["*.azurecr.io", "a.b.azurecr.io/app", false],
  ["*", "quay.io/app", false],
  ["localhost:5000", "localhost:5000/app", true],
  ["r.example", "r.example:5000/app", false],
])("registry %s serves image %s: %s", (registry, image, expected) => {
  const { leftOut } = mergeAuths([big(registry)], [image], 100);
  expect(leftOut.length === 0).toBe(expected);
});

test.each([
  ["a*b*c", "aXbYc", true],
  ["a*b*c", "acb", false],
  ["ab*ba", "aba", false],
  ["**", "anything", true],
  ["*b*b", "ab", false],
])("stars stand for any text: %s and %s: %s", (pattern, label, expected) => {
  const { leftOut } = mergeAuths([big(`${pattern}.io`)], [`${label}.io/app`], 100);
  expect(leftOut.length === 0).toBe(expected);
});

test("a registry's name of many stars costs nothing: a tenant writes it, and all pods of the node would wait", () => {
  const auths = [big(`${"*a".repeat(40)}*b.io`)];
  expect(mergeAuths(auths, [`${"a".repeat(200)}.io/app`], 100).leftOut).toHaveLength(1);
});

test("garbage is a problem, never a crash", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.boolean(), (document, isOld) => {
      const read = readPullSecret(isOld ? old(document) : config(document));
      return "auths" in read || read.problem.length > 0;
    }),
  );
});
