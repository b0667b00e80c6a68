import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { CpioMember } from "./cpio.ts";

/** What a pod VM needs: the machine's devices, cidata, the tunnel with its rules, and the power button. */
const WANTED = [
  ...["virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng"],
  ...["isofs", "ext4", "overlay", "fuse"],
  ...["vxlan", "veth", "bridge", "dummy"],
  ...["iptable_raw", "xt_CT", "xt_comment", "xt_tcpudp", "nf_conntrack"],
  ...["button", "evdev"],
];

/** A module is named with `-` or `_` at will. */
const plain = (name: string): string => name.replaceAll("-", "_");

/** The names that a module needs, from its own record (`depends=` in section .modinfo). */
function dependencies(module: Buffer): readonly string[] {
  const found = /\0depends=([^\0]*)\0/.exec(module.toString("latin1"))?.[1] ?? "";
  return found
    .split(",")
    .filter((name) => name !== "")
    .map(plain);
}

/**
 * The kernel's modules as members of the initramfs, and `lib/modules/order`: one that needs others comes after them. What is
 * wanted and built into the kernel has no file.
 */
export function kernelModules(root: string, release: string): readonly CpioMember[] {
  const dir = join(root, "lib/modules", release);
  const files = new Map(
    globSync("kernel/**/*.ko", { cwd: dir }).map((path) => [plain(basename(path, ".ko")), path]),
  );
  const builtIn = new Set(
    readFileSync(join(dir, "modules.builtin"), "utf8")
      .split("\n")
      .map((path) => plain(basename(path, ".ko"))),
  );
  const ordered = new Map<string, Buffer>();
  const add = (name: string): void => {
    const path = files.get(name);
    if (ordered.has(name) || (path === undefined && builtIn.has(name))) return;
    if (path === undefined) throw new Error(`kernel ${release} has no module ${name}`);
    const content = readFileSync(join(dir, path));
    for (const other of dependencies(content)) add(other);
    ordered.set(name, content);
  };
  for (const name of WANTED) add(plain(name));
  const order = [...ordered.keys()].map((name) => `${name}.ko\n`).join("");
  return [
    { path: "lib/modules/order", type: "file", mode: 0o644, content: Buffer.from(order) },
    ...[...ordered].map(
      ([name, content]) =>
        ({ path: `lib/modules/${name}.ko`, type: "file", mode: 0o644, content }) satisfies CpioMember,
    ),
  ];
}
