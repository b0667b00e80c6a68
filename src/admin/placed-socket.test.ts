import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { askAdmin } from "./client.ts";
import { type PlacedSocket, placeSocket } from "./placed-socket.ts";

let dir = "";
let path = "";
const servers: Server[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "placed-"));
  path = join(dir, "admin.sock");
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  rmSync(dir, { recursive: true, force: true });
});

/** Says its name to whoever asks. */
async function named(name: string): Promise<PlacedSocket> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.end(`HTTP/1.1 200 OK\r\n\r\n${name}`);
  });
  servers.push(server);
  return await placeSocket(server, path);
}

const who = async (): Promise<string> =>
  (await askAdmin(path, { method: "GET", path: "/", timeoutMs: 5000 })).body;

test("the first to come has the path; the second waits beside it until it takes it", async () => {
  const first = await named("owner");
  const second = await named("standby");
  expect(await who()).toBe("owner");
  second.take();
  expect(await who()).toBe("standby");
  first.remove();
  expect(await who()).toBe("standby");
  second.remove();
  expect(readdirSync(dir)).toEqual([]);
});

test("the owner that ends leaves nothing, also while another waits", async () => {
  const first = await named("owner");
  const second = await named("standby");
  first.remove();
  expect(existsSync(path)).toBe(false);
  second.remove();
  expect(readdirSync(dir)).toEqual([]);
});

test("what processes that were killed have left, at the path and beside it, is replaced and removed", async () => {
  const leave = (name: string): void => {
    const bind = `require("node:net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))`;
    expect(() =>
      execFileSync(process.execPath, ["-e", bind, join(dir, name)], { stdio: "ignore" }),
    ).toThrow();
    expect(existsSync(join(dir, name))).toBe(true);
  };
  leave("admin.sock");
  leave("admin.sock.0a1b2c");
  await named("new");
  expect(await who()).toBe("new");
  expect(readdirSync(dir)).toEqual(["admin.sock"]);
});

test("a folder that cannot be made is the setting's fault, and named", async () => {
  path = "/proc/nowhere/admin.sock";
  await expect(named("nobody")).rejects.toThrow(/PEERPODS_ADMIN_SOCKET.*\/proc\/nowhere/);
});
