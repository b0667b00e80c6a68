import { accessSync, constants, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../test/node/child.ts";
import type { BenchJson } from "./bench-json.ts";

/** What stands in the pod VMs. */
export interface VmPeer {
  /** For the report. */
  readonly name: string;
  readonly stock: boolean;
  /** The executable that a VM boots. */
  readonly image: string;
}

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/**
 * Writes the VMs' image into `dir`: the stock process-user-data and agent-protocol-forwarder where both are in `peersDir`, with the
 * stub agent that all VMs share; else our own forwarder, its agent inside.
 */
export function writeImage(
  dir: string,
  given: { readonly peersDir: string; readonly agentSocket: string; readonly root: boolean },
): VmPeer {
  const image = join(dir, "image.sh");
  const [userData, forwarder] = ["process-user-data", "agent-protocol-forwarder"].map((name) =>
    join(given.peersDir, name),
  );
  const write = (...lines: readonly string[]): void =>
    writeFileSync(image, `${["#!/bin/sh", ...lines].join("\n")}\n`, { mode: 0o755 });
  if (
    given.root &&
    given.peersDir !== "" &&
    userData &&
    forwarder &&
    [userData, forwarder].every(isExecutable)
  ) {
    write(
      `'${userData}' provision-files || exit 1`,
      "ip netns add podns",
      "ip -n podns link set lo up",
      `exec '${forwarder}' -pod-namespace /run/netns/podns -kata-agent-socket '${given.agentSocket}'`,
    );
    return {
      name: "stock agent-protocol-forwarder, stub agent behind it, shared by all VMs",
      stock: true,
      image,
    };
  }
  write(
    `exec '${process.execPath}' --disable-warning=ExperimentalWarning '${join(ROOT, "bench/stub-vm.ts")}'`,
  );
  return { name: "our own forwarder, stub agent inside", stock: false, image };
}

/** Another adaptor to measure beside ours. */
export interface OtherAdaptor {
  readonly command: string;
  readonly args: readonly string[];
}

/** What BENCH_OTHER names, or GO_ADAPTOR as it was called first; undefined when neither is set; a text when it cannot be used. */
export function otherAdaptor(
  env: Readonly<Record<string, string | undefined>>,
): OtherAdaptor | string | undefined {
  const command = env["BENCH_OTHER"] ?? env["GO_ADAPTOR"] ?? "";
  if (command === "") return undefined;
  if (!isExecutable(command)) return `${command} is not an executable file`;
  const given = env["BENCH_OTHER_ARGS"] ?? env["GO_ADAPTOR_ARGS"] ?? "byom -script {script}";
  const args = given.split(" ").filter((arg) => arg !== "");
  return { command, args };
}

/** What the machine is. */
export function machineFacts(): Omit<BenchJson["machine"], "cores"> {
  const first = (path: string, pattern: RegExp): string =>
    pattern.exec(readFileSync(path, "utf8"))?.[1]?.trim() ?? "unknown";
  return {
    cpu: first("/proc/cpuinfo", /^model name\s*:(.*)$/m),
    memoryGiB: Math.round(Number(first("/proc/meminfo", /^MemTotal:\s+(\d+)/)) / 1024 / 1024),
    kernel: first("/proc/version", /version (\S+)/),
    node: process.version,
  };
}
