import { invalidRequest } from "../../../src/errors/index.ts";

const BLOCK_BYTES = 512;
/** Longest path of the plain header; images made here stay below it. */
const MAX_PATH_BYTES = 100;

/** A member of an archive to write. */
export interface TarMember {
  /** Relative, without a trailing slash. */
  readonly path: string;
  readonly type: "file" | "directory" | "symlink" | "hardlink";
  /** Permission bits. */
  readonly mode: number;
  readonly content?: Buffer;
  /** Target of a link. */
  readonly linkTarget?: string;
}

const TYPE_FLAGS = { file: "0", hardlink: "1", symlink: "2", directory: "5" } as const;

function header(member: TarMember): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, at: number, length: number): void => {
    block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at);
  };
  const text = (value: string, at: number): void => {
    if (Buffer.byteLength(value) > MAX_PATH_BYTES) {
      throw invalidRequest(
        `${value} is longer than the ${MAX_PATH_BYTES} bytes that an image made here can name`,
      );
    }
    block.write(value, at);
  };
  text(member.type === "directory" ? `${member.path}/` : member.path, 0);
  octal(member.mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(member.content?.length ?? 0, 124, 12);
  octal(0, 136, 12);
  block.write("        ", 148);
  block.write(TYPE_FLAGS[member.type], 156);
  text(member.linkTarget ?? "", 157);
  block.write("ustar\0", 257);
  block.write("00", 263);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

/** An archive (POSIX ustar) of root's files, all with time 0, so that the same members give the same bytes. */
export function writeTar(members: readonly TarMember[]): Buffer {
  const pieces = members.flatMap((member) => {
    const content = member.content ?? Buffer.alloc(0);
    const padding = (BLOCK_BYTES - (content.length % BLOCK_BYTES)) % BLOCK_BYTES;
    return [header(member), content, Buffer.alloc(padding)];
  });
  return Buffer.concat([...pieces, Buffer.alloc(2 * BLOCK_BYTES)]);
}
