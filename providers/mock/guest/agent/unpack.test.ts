import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemExec } from "../../../../src/platform/index.ts";
import { type TarMember, writeTar } from "../write-tar.ts";
import { readTar } from "./tar.ts";
import { applyLayer } from "./unpack.ts";

const deps = { exec: systemExec, privileged: false };
const file = (path: string, content = "", mode = 0o644): TarMember => ({
  path,
  type: "file",
  mode,
  content: Buffer.from(content),
});
const link = (path: string, linkTarget: string, type: "symlink" | "hardlink" = "symlink"): TarMember => ({
  path,
  type,
  mode: 0o777,
  linkTarget,
});
const dir = (path: string, mode = 0o755): TarMember => ({ path, type: "directory", mode });

let folder: string;
let rootfs: string;
let layers = 0;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "peerpod-unpack-"));
  rootfs = join(folder, "rootfs");
  mkdirSync(rootfs);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function apply(
  members: readonly TarMember[],
  compress: (tar: Buffer) => Buffer = gzipSync,
): Promise<void> {
  layers += 1;
  const path = join(folder, `layer-${layers}`);
  writeFileSync(path, compress(writeTar(members)));
  const suffix = compress === gzipSync ? "+gzip" : compress === zstdCompressSync ? "+zstd" : "";
  await applyLayer(deps, rootfs, { path, mediaType: `application/vnd.oci.image.layer.v1.tar${suffix}` });
}

const read = (path: string): string => readFileSync(join(rootfs, path), "utf8");
const has = (path: string): boolean => existsSync(join(rootfs, path));

describe("layers", () => {
  test("give files, folders and links with their modes, whatever their compression", async () => {
    await apply([
      dir("bin"),
      file("bin/a", "A", 0o4755),
      link("bin/b", "a"),
      link("bin/c", "bin/a", "hardlink"),
    ]);
    await apply([file("plain", "P")], (tar) => tar);
    await apply([file("deep/er/z", "Z")], zstdCompressSync);
    expect([read("bin/b"), read("bin/c"), read("plain"), read("deep/er/z")]).toEqual(["A", "A", "P", "Z"]);
    expect(statSync(join(rootfs, "bin/a")).mode & 0o7777).toBe(0o4755);
    expect(readlinkSync(join(rootfs, "bin/b"))).toBe("a");
  });

  test("replace and hide what lower ones have: a file, a folder, and all of an opaque one's", async () => {
    await apply([
      file("gone", "1"),
      dir("tree"),
      file("tree/x", "1"),
      dir("opaque"),
      file("opaque/old", "1"),
      file("kept", "1"),
    ]);
    await apply([
      file(".wh.gone"),
      file(".wh.tree"),
      dir("opaque"),
      file("opaque/new", "2"),
      file("opaque/.wh..wh..opq"),
      file("kept", "2"),
    ]);
    expect([has("gone"), has("tree"), has("opaque/old"), has(".wh.gone")]).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect([read("opaque/new"), read("kept")]).toEqual(["2", "2"]);
  });

  test.each([
    ["a path with ..", [file("../outside", "x")]],
    ["a file behind a link to elsewhere", [link("door", "/tmp"), file("door/outside", "x")]],
    ["a hard link to elsewhere", [link("thief", "../../outside", "hardlink")]],
    ["a whiteout behind a link", [link("door", ".."), file("door/.wh.layer-1")]],
  ])("cannot reach out of the root file system by %s", async (_, members) => {
    await expect(apply(members)).rejects.toThrow(/an image layer/);
    expect(existsSync(join(folder, "outside"))).toBe(false);
  });

  test("that are cut short are refused", async () => {
    await expect(apply([file("a", "x".repeat(2000))], (tar) => tar.subarray(0, 1500))).rejects.toThrow(
      "ends in the middle",
    );
  });
});

async function* chunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe("reading an archive", () => {
  test("gives what was written, cut anywhere", async () => {
    const member = fc.record({
      path: fc.stringMatching(/^[a-z]{1,20}(\/[a-z]{1,20}){0,3}$/),
      content: fc.uint8Array({ maxLength: 1500 }),
      mode: fc.integer({ min: 0, max: 0o7777 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(member, { maxLength: 5 }),
        fc.integer({ min: 1, max: 2000 }),
        async (members, size) => {
          const written = members.map(({ path, content, mode }) => ({
            ...file(path, "", mode),
            content: Buffer.from(content),
          }));
          const seen: unknown[] = [];
          for await (const { entry, content } of readTar(chunks(writeTar(written), size))) {
            seen.push({
              path: entry.path,
              mode: entry.mode,
              bytes: Buffer.concat(await Array.fromAsync(content)).toString("hex"),
            });
          }
          expect(seen).toEqual(
            written.map(({ path, mode, content }) => ({ path, mode, bytes: content.toString("hex") })),
          );
        },
      ),
      { numRuns: 50 },
    );
  });

  test("understands GNU tar's and pax's long names", async () => {
    const name = `${"long".repeat(30)}/${"name".repeat(40)}`;
    mkdirSync(join(folder, "in", "long".repeat(30)), { recursive: true });
    writeFileSync(join(folder, "in", name), "content");
    for (const format of ["gnu", "pax"]) {
      const tar = execFileSync("tar", [
        "--create",
        `--format=${format}`,
        "--directory",
        join(folder, "in"),
        ".",
      ]);
      const found: Record<string, string> = {};
      for await (const { entry, content } of readTar(chunks(tar, 777))) {
        found[entry.path] = Buffer.concat(await Array.fromAsync(content)).toString();
      }
      expect(found[`./${name}`]).toBe("content");
    }
  });
});
