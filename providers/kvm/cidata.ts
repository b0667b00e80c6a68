import { internal } from "../../src/errors/index.ts";

// The volume that the stock image mounts (`mount -t iso9660 /dev/disk/by-label/cidata`) and that cloud-init's NoCloud source
// looks for. ECMA-119, interchange level 1, one folder: no extension is needed, because Linux shows plain names in lower case.

const SECTOR = 2048;
const LABEL = "cidata";
/** Sectors 0 to 15 belong to the system; then come descriptor, terminator, both path tables and the folder. */
const DESCRIPTOR_AT = 16;
const TERMINATOR_AT = 17;
const PATH_TABLE_LE_AT = 18;
const PATH_TABLE_BE_AT = 19;
const FOLDER_AT = 20;
const FIRST_FILE_AT = 21;
const NAME = /^[a-z][a-z-]{0,28}[a-z]$/;

/** A number in both byte orders (ECMA-119 7.3.3 and 7.2.3). */
function both32(target: Buffer, value: number, at: number): void {
  target.writeUInt32LE(value, at);
  target.writeUInt32BE(value, at + 4);
}
function both16(target: Buffer, value: number, at: number): void {
  target.writeUInt16LE(value, at);
  target.writeUInt16BE(value, at + 2);
}

const sectorsOf = (bytes: number): number => Math.ceil(bytes / SECTOR);

/** A directory record (9.1). The date is the first day that the format knows, so that the same files give the same bytes. */
function record(
  name: Buffer,
  extent: { readonly at: number; readonly bytes: number },
  folder: boolean,
): Buffer {
  const length = 33 + name.length + (name.length % 2 === 0 ? 1 : 0);
  const block = Buffer.alloc(length);
  block.writeUInt8(length, 0);
  both32(block, extent.at, 2);
  both32(block, extent.bytes, 10);
  Buffer.from([70, 1, 1, 0, 0, 0, 0]).copy(block, 18);
  block.writeUInt8(folder ? 2 : 0, 25);
  both16(block, 1, 28);
  block.writeUInt8(name.length, 32);
  name.copy(block, 33);
  return block;
}

/** The primary volume descriptor (8.4). */
function descriptor(totalSectors: number): Buffer {
  const block = Buffer.alloc(SECTOR, " ");
  block.fill(0, 0, 8);
  block.writeUInt8(1, 0);
  block.write("CD001", 1);
  block.writeUInt8(1, 6);
  block.write(LABEL, 40);
  block.fill(0, 72, 190);
  both32(block, totalSectors, 80);
  both16(block, 1, 120);
  both16(block, 1, 124);
  both16(block, SECTOR, 128);
  both32(block, PATH_TABLE.length, 132);
  block.writeUInt32LE(PATH_TABLE_LE_AT, 140);
  block.writeUInt32BE(PATH_TABLE_BE_AT, 148);
  record(Buffer.from([0]), { at: FOLDER_AT, bytes: SECTOR }, true).copy(block, 156);
  for (const at of [813, 830, 847, 864]) block.fill("0", at, at + 16).writeUInt8(0, at + 16);
  block.writeUInt8(1, 881);
  block.fill(0, 882);
  return block;
}

/** The root alone (9.4): an identifier of one byte, number 1. */
const PATH_TABLE: { readonly length: number; readonly bytes: (bigEndian: boolean) => Buffer } = {
  length: 10,
  bytes(bigEndian) {
    const block = Buffer.alloc(SECTOR);
    block.writeUInt8(1, 0);
    if (bigEndian) {
      block.writeUInt32BE(FOLDER_AT, 2);
      block.writeUInt16BE(1, 6);
    } else {
      block.writeUInt32LE(FOLDER_AT, 2);
      block.writeUInt16LE(1, 6);
    }
    return block;
  },
};

function terminator(): Buffer {
  const block = Buffer.alloc(SECTOR);
  block.writeUInt8(255, 0);
  block.write("CD001", 1);
  block.writeUInt8(1, 6);
  return block;
}

/** An ISO 9660 volume labelled `cidata` with these files in its root. Throws `internal` for a name that the format cannot hold. */
export function makeCidata(files: Readonly<Record<string, string>>): Buffer {
  let at = FIRST_FILE_AT;
  const placed = Object.keys(files)
    .sort()
    .map((name) => {
      if (!NAME.test(name)) throw internal(`${name} is no file name for the cidata volume`);
      const content = Buffer.from(files[name] ?? "");
      const extent = { at, bytes: content.length };
      at += Math.max(1, sectorsOf(content.length));
      return { name: Buffer.from(`${name.toUpperCase()};1`), content, extent };
    });
  const folder = { at: FOLDER_AT, bytes: SECTOR };
  const entries = Buffer.concat([
    record(Buffer.from([0]), folder, true),
    record(Buffer.from([1]), folder, true),
    ...placed.map(({ name, extent }) => record(name, extent, false)),
  ]);
  if (entries.length > SECTOR) throw internal("too many files for the cidata volume");
  const volume = Buffer.alloc(at * SECTOR);
  descriptor(at).copy(volume, DESCRIPTOR_AT * SECTOR);
  terminator().copy(volume, TERMINATOR_AT * SECTOR);
  PATH_TABLE.bytes(false).copy(volume, PATH_TABLE_LE_AT * SECTOR);
  PATH_TABLE.bytes(true).copy(volume, PATH_TABLE_BE_AT * SECTOR);
  entries.copy(volume, FOLDER_AT * SECTOR);
  for (const { content, extent } of placed) content.copy(volume, extent.at * SECTOR);
  return volume;
}
