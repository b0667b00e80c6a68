/** A member of an initramfs. */
export interface CpioMember {
  /** Relative to the root, without a leading slash. */
  readonly path: string;
  readonly type: "file" | "directory" | "symlink" | "character-device";
  /** Permission bits. */
  readonly mode: number;
  readonly content?: Buffer;
  readonly linkTarget?: string;
  /** Major and minor number of a device. */
  readonly device?: readonly [number, number];
}

const TYPE_BITS = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  "character-device": 0o020000,
} as const;
const MAGIC = "070701";

/** Members and header names begin at multiples of 4 bytes. */
const pad = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4);

/** One member with its header: "newc" of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. */
function entry(member: CpioMember, inode: number): Buffer {
  const content = member.content ?? Buffer.from(member.linkTarget ?? "");
  const name = Buffer.from(`${member.path}\0`);
  const [major, minor] = member.device ?? [0, 0];
  const fields = [
    ...[inode, TYPE_BITS[member.type] | member.mode, 0, 0, 1, 0],
    ...[content.length, 0, 0, major, minor, name.length, 0],
  ];
  const header = Buffer.from(
    `${MAGIC}${fields.map((value) => value.toString(16).padStart(8, "0")).join("")}`,
  );
  return Buffer.concat([header, name, pad(header.length + name.length), content, pad(content.length)]);
}

/** An archive that the kernel unpacks into its first root, of root's files, all with time 0: the same members give the same bytes. */
export function writeCpio(members: readonly CpioMember[]): Buffer {
  const trailer: CpioMember = { path: "TRAILER!!!", type: "file", mode: 0 };
  return Buffer.concat([...members, trailer].map((member, index) => entry(member, index + 1)));
}
