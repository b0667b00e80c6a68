import { existsSync, lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CopyFileRequest } from "../../../../src/gen/agent/agent.ts";
import { copyFile, SHARED_DIR } from "./copy-file.ts";

let folder: string;
let sharedDir: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "peerpod-copy-"));
  sharedDir = join(folder, "shared");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const copy = (path: string, request: Parameters<typeof CopyFileRequest.create>[0]): Promise<void> =>
  copyFile(
    { sharedDir, privileged: false },
    CopyFileRequest.create({ path: `${SHARED_DIR}/${path}`, dirMode: 0o750, ...request }),
  );
const FILE = 0o100644;
const LINK = 0o120777;
const FOLDER = 0o040755;
// Go's directory bit, which the Go shim sends in dir_mode.
const GO_DIR_MODE = 2_147_484_136;

describe("CopyFile", () => {
  test("shows a file only when all of its pieces are there, with its mode", async () => {
    const all = "x".repeat(3000);
    for (const offset of [0, 1000, 2000]) {
      expect(existsSync(join(sharedDir, "a/b/file"))).toBe(false);
      const data = Buffer.from(all.slice(offset, offset + 1000));
      await copy("a/b/file", {
        fileSize: 3000n,
        fileMode: 0o100600,
        dirMode: GO_DIR_MODE,
        offset: BigInt(offset),
        data,
      });
    }
    expect(readFileSync(join(sharedDir, "a/b/file"), "utf8")).toBe(all);
    expect(lstatSync(join(sharedDir, "a/b/file")).mode & 0o7777).toBe(0o600);
    expect(lstatSync(join(sharedDir, "a/b")).mode & 0o7777).toBe(0o750);
  });

  test("makes empty files, folders and links, and puts one in the place of another", async () => {
    await copy("empty", { fileSize: 0n, fileMode: FILE });
    await copy("folder", { fileMode: FOLDER });
    await copy("link", { fileMode: LINK, data: Buffer.from("empty") });
    await copy("link", { fileMode: LINK, data: Buffer.from("folder") });
    await copy("empty", { fileMode: FOLDER });
    await copy("folder", { fileSize: 1n, fileMode: FILE, data: Buffer.from("x") });
    expect(readlinkSync(join(sharedDir, "link"))).toBe("folder");
    expect(lstatSync(join(sharedDir, "empty")).isDirectory()).toBe(true);
    expect(readFileSync(join(sharedDir, "folder"), "utf8")).toBe("x");
  });

  test("keeps what is in a folder that is sent again", async () => {
    await copy("folder/file", { fileSize: 1n, fileMode: FILE, data: Buffer.from("x") });
    await copy("folder", { fileMode: FOLDER });
    expect(existsSync(join(sharedDir, "folder/file"))).toBe(true);
  });

  test.each(["../outside", "a/../../outside", "", "."])("refuses the path %j", async (path) => {
    await expect(copy(path, { fileMode: FILE })).rejects.toMatchObject({ kind: "invalid-request" });
  });

  test("refuses to follow a link that leads out", async () => {
    await copy("folder", { fileMode: FOLDER });
    symlinkSync(folder, join(sharedDir, "folder/out"));
    await expect(
      copy("folder/out/x", { fileSize: 1n, fileMode: FILE, data: Buffer.from("x") }),
    ).rejects.toThrow("leads out of");
    await expect(copy("folder/out/sub/x", { fileMode: FILE })).rejects.toThrow("leads out of");
    expect([existsSync(join(folder, "x")), existsSync(join(folder, "sub"))]).toEqual([false, false]);
  });
});
