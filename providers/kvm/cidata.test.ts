import { expect, test } from "vitest";
import { makeCidata } from "./cidata.ts";

const SECTOR = 2048;

/** Name and content of each file in the root, read by the positions of ECMA-119. */
function filesOf(volume: Buffer): Readonly<Record<string, string>> {
  const descriptor = volume.subarray(16 * SECTOR, 17 * SECTOR);
  expect(descriptor.toString("latin1", 1, 6)).toBe("CD001");
  const root = descriptor.subarray(156, 190);
  const folderAt = root.readUInt32LE(2) * SECTOR;
  expect(root.readUInt32BE(6) * SECTOR).toBe(folderAt);
  const found: Record<string, string> = {};
  for (let at = folderAt; volume.readUInt8(at) !== 0; at += volume.readUInt8(at)) {
    const isFolder = (volume.readUInt8(at + 25) & 2) !== 0;
    if (isFolder) continue;
    const start = volume.readUInt32LE(at + 2) * SECTOR;
    const name = volume.toString("latin1", at + 33, at + 33 + volume.readUInt8(at + 32));
    found[name] = volume.toString("utf8", start, start + volume.readUInt32LE(at + 10));
  }
  return found;
}

test("the volume has its label and every file, byte for byte", () => {
  const files = { "user-data": `#cloud-config\n${"x".repeat(5000)}ä\n`, "meta-data": "", "vendor-data": "v" };
  const volume = makeCidata(files);
  expect(volume.length % SECTOR).toBe(0);
  expect(volume.readUInt32LE(16 * SECTOR + 80) * SECTOR).toBe(volume.length);
  expect(volume.toString("latin1", 16 * SECTOR + 40, 16 * SECTOR + 72).trim()).toBe("cidata");
  // Linux shows such names in lower case, without version.
  expect(filesOf(volume)).toEqual({
    "USER-DATA;1": files["user-data"],
    "META-DATA;1": "",
    "VENDOR-DATA;1": "v",
  });
});

test("the same files give the same bytes", () => {
  expect(makeCidata({ "user-data": "a" }).equals(makeCidata({ "user-data": "a" }))).toBe(true);
});

test.each(["UPPER", "a/b", "", "-a", "a.b", "x".repeat(31)])("a file cannot be called %j", (name) => {
  expect(() => makeCidata({ [name]: "" })).toThrow(/no file name/);
});
