import { mkdtempSync, rmSync, statSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { notFound, unavailable } from "../errors/index.ts";
import { silentLog } from "../platform/index.ts";
import { askAdmin } from "./client.ts";
import { type AdminRoute, json } from "./routes.ts";
import { type AdminServer, serveAdmin } from "./server.ts";

let dir = "";
let path = "";
const opened: AdminServer[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "admin-"));
  path = join(dir, "admin.sock");
});
afterEach(async () => {
  for (const server of opened.splice(0)) await server.close();
  rmSync(dir, { recursive: true, force: true });
});

const ROUTES: readonly AdminRoute[] = [
  { method: "GET", path: "/greeting", handle: ({ query }) => json({ hello: query.get("name") }) },
  { method: "PUT", path: "/greeting", handle: ({ body }) => json({ said: body }, 202) },
  {
    method: "GET",
    path: "/missing",
    handle: () => {
      throw notFound("there is no such pod");
    },
  },
  {
    method: "GET",
    path: "/bug",
    handle: () => {
      throw new TypeError("undefined is not a function");
    },
  },
  {
    method: "GET",
    path: "/text",
    handle: () => ({ status: 200, contentType: "text/plain", text: "grüße\n" }),
  },
];

async function serve(routes = ROUTES): Promise<AdminServer> {
  const server = await serveAdmin(path, routes, { log: silentLog });
  opened.push(server);
  return server;
}

const ask = (target: string, method: "GET" | "PUT" = "GET", body = "") =>
  askAdmin(path, { method, path: target, body, timeoutMs: 5000 });

test("a route is given query and body, and its value is answered as JSON", async () => {
  await serve();
  const got = await ask("/greeting?name=a%20b");
  expect([got.status, JSON.parse(got.body)]).toEqual([200, { hello: "a b" }]);
  const put = await ask("/greeting", "PUT", "grüße");
  expect([put.status, JSON.parse(put.body)]).toEqual([202, { said: "grüße" }]);
  expect((await ask("/text")).body).toBe("grüße\n");
});

test("an HTTP/1.1 client such as curl is served as well", async () => {
  await serve();
  const status = await new Promise((resolve, reject) => {
    httpRequest({ socketPath: path, path: "/text" }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on("error", reject)
      .end();
  });
  expect(status).toBe(200);
});

test("what is not there is answered with what is, and an error with its kind", async () => {
  await serve();
  const unknown = await ask("/nothing");
  expect([unknown.status, unknown.body]).toEqual([404, expect.stringContaining("/greeting, /missing")]);
  const method = await ask("/text", "PUT");
  expect([method.status, method.body]).toEqual([405, expect.stringContaining("takes GET, not PUT")]);
  const missing = await ask("/missing");
  expect([missing.status, JSON.parse(missing.body)]).toEqual([
    404,
    { error: { kind: "not-found", message: "there is no such pod" } },
  ]);
});

test("an error of ours ends the one connection and shows nothing of itself", async () => {
  await serve();
  await expect(ask("/bug")).rejects.toThrow(/no adaptor|no answer/);
  expect((await ask("/text")).status).toBe(200);
});

test("a body over the limit is refused", async () => {
  await serve();
  expect((await ask("/greeting", "PUT", "x".repeat(5000))).status).toBe(413);
});

test("only the owner of the process may open the socket", async () => {
  await serve();
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("without an adaptor the error says what to do", async () => {
  await expect(ask("/text")).rejects.toThrow(
    /no adaptor answers on .*admin.sock \(there is no such socket\).*journal show/,
  );
});

test("a caller that leaves aborts the signal of its call", async () => {
  const entered = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  await serve([
    {
      method: "GET",
      path: "/slow",
      handle: ({ signal }) =>
        new Promise((_resolve, reject) => {
          entered.resolve();
          signal.addEventListener("abort", () => {
            left.resolve();
            reject(unavailable("nobody waits"));
          });
        }),
    },
  ]);
  const request = httpRequest({ socketPath: path, path: "/slow" });
  request.on("error", () => undefined);
  request.end();
  await entered.promise;
  request.destroy();
  await left.promise;
});
