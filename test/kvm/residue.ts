import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const FOLDERS = ["vms", "new", "gone", "dhcp"];

function lines(argv: readonly string[]): readonly string[] {
  const [file = "", ...args] = argv;
  return execFileSync(file, args, { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.trim() !== "");
}

/** Processes of VMs in `dir`, and dnsmasq's, by id and name. */
export function kvmProcesses(dir: string): readonly { readonly pid: number; readonly name: string }[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .flatMap((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        const [name = ""] = words;
        return !/node/.test(name) && words.some((word) => word.includes(`${dir}/`))
          ? [{ pid: Number(pid), name }]
          : [];
      } catch {
        return []; // It ended between the two looks.
      }
    });
}

/** Devices of VMs, in the network namespace that the words before a command lead to. */
export const kvmDevices = (inside: readonly string[] = []): readonly string[] =>
  lines([...inside, "ip", "-o", "link"]).flatMap(
    (line) => /^\d+: ((?:ppk|peerpods)[^:@]*)/.exec(line)?.[1] ?? [],
  );

/** Everything on this machine that belongs to VMs of `dir`, one text each. */
export function kvmResources(dir: string, inside: readonly string[] = []): readonly string[] {
  const folders = FOLDERS.flatMap((name) => {
    const path = join(dir, name);
    return existsSync(path) ? readdirSync(path).map((vm) => `${name}/${vm}`) : [];
  });
  const processes = kvmProcesses(dir).map(({ name }) => `process ${name}`);
  const tables = lines([...inside, "nft", "list", "tables"]).filter((line) => line.includes("peerpods_kvm"));
  return [...folders, ...processes, ...kvmDevices(inside), ...tables].sort();
}

/** What a reboot does to VMs: QEMU and the network are gone, the disk stays. */
export function rebootKvm(dir: string): void {
  for (const { pid } of kvmProcesses(dir)) process.kill(pid, "SIGKILL");
  for (const device of kvmDevices()) execFileSync("ip", ["link", "del", device]);
  execFileSync("nft", ["flush", "ruleset"]);
}
