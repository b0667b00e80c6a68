// `make podvm-image`: kernel and initramfs of a small pod VM, from Debian packages (downloaded, never installed), the project's
// Node and our guest. OUT names the folder of the result; default .work/podvm.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { writeCpio } from "./cpio.ts";
import { unpackPackages } from "./debian.ts";
import { guestMembers } from "./guest-files.ts";
import { kernelModules } from "./modules.ts";
import { programMembers } from "./programs.ts";
import { skeleton } from "./skeleton.ts";

const say = (text: string): void => console.log(`podvm-image: ${text}`);
const mebibytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;

async function build(out: string, work: string): Promise<void> {
  const packages = unpackPackages(work, say);
  const modules = kernelModules(packages.root, packages.kernelRelease);
  say(`kernel ${packages.kernelRelease}, ${modules.length - 1} modules`);
  const archive = writeCpio([
    ...skeleton(import.meta.dirname),
    ...modules,
    ...programMembers(packages.root),
    ...(await guestMembers(work)),
  ]);
  const initrd = zstdCompressSync(archive);
  mkdirSync(out, { recursive: true });
  writeFileSync(
    join(out, "vmlinuz"),
    readFileSync(join(packages.root, "boot", `vmlinuz-${packages.kernelRelease}`)),
  );
  writeFileSync(join(out, "initrd.img"), initrd);
  writeFileSync(join(out, "cmdline"), "quiet panic=-1\n");
  writeFileSync(join(out, "kernel-release"), `${packages.kernelRelease}\n`);
  say(`${out}: initramfs of ${mebibytes(archive.length)}, ${mebibytes(initrd.length)} compressed`);
}

const work = mkdtempSync(join(tmpdir(), "podvm-image-"));
try {
  await build(resolve(process.env["OUT"] || ".work/podvm"), work);
} finally {
  rmSync(work, { recursive: true, force: true });
}
