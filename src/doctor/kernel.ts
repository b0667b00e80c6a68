import { describeError } from "../errors/index.ts";
import type { Exec } from "../platform/index.ts";
import { type Check, type Finding, failure, info, ok } from "./finding.ts";

interface Trial {
  readonly check: string;
  /** Run in a network namespace of its own, which ends with it: nothing of the node is touched. */
  readonly command: readonly [string, ...string[]];
  readonly input?: string;
  readonly fix: string;
}

/** What the tunnel of a pod needs (src/pod-network), each tried for real. */
const TRIALS: readonly Trial[] = [
  {
    check: "kernel vxlan",
    command: [
      ...(["ip", "link", "add", "pp0", "type", "vxlan"] as const),
      ...["id", "1", "remote", "127.0.0.1", "dstport", "4789"],
    ],
    fix: "load the kernel module vxlan on the node (modprobe vxlan); in a pod the host's /lib/modules must be mounted",
  },
  {
    check: "kernel tc redirect",
    command: ["tc", "-batch", "-"],
    input: [
      "qdisc add dev lo ingress",
      "filter add dev lo parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev lo",
      "",
    ].join("\n"),
    fix: "load the kernel modules sch_ingress, cls_u32 and act_mirred on the node",
  },
  {
    check: "iptables raw table",
    command: ["iptables", "-w", "5", "-t", "raw", "-S"],
    fix: "install iptables and load the kernel module iptable_raw, or use iptables-nft; without it the tunnel's packets fill the node's connection tracking",
  },
];

/** Tries what tunnels are made of. Needs root; without it says so. */
export function kernelChecks(exec: Exec, isRoot: boolean): Check {
  return async (signal) => {
    if (!isRoot)
      return [
        info("kernel", "not root, so tunnels cannot be tried; run it as root, or in the adaptor's pod"),
      ];
    const findings: Finding[] = [];
    for (const trial of TRIALS) findings.push(await attempt(exec, trial, signal));
    return findings;
  };
}

async function attempt(exec: Exec, trial: Trial, signal: AbortSignal): Promise<Finding> {
  const { check, command, input, fix } = trial;
  try {
    const options = { signal, ...(input !== undefined && { input }) };
    const { code, stderr } = await exec.run(["unshare", "--net", ...command], options);
    if (code === 0) return ok(check, "works");
    const [line = ""] = stderr.trim().split("\n");
    return failure(check, line === "" ? `the trial ended with status ${code}` : line, fix);
  } catch (error) {
    return failure(check, describeError(error), "install iproute2, iptables and util-linux");
  }
}
