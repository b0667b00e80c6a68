import * as v from "valibot";
import type { Exec } from "../platform/index.ts";
import { type Check, failure, guarded, ok } from "./finding.ts";

const LINKS = v.array(
  v.object({
    ifname: v.optional(v.string(), ""),
    linkinfo: v.optional(
      v.object({
        info_kind: v.optional(v.string(), ""),
        info_data: v.optional(
          v.object({ port: v.optional(v.number()), external: v.optional(v.boolean(), false) }),
          {},
        ),
      }),
      {},
    ),
  }),
);

const CHECK = "VXLAN port";

/**
 * Whether a CNI on this node already ends a tunnel on our port: the kernel gives a packet to one device for each port and id, and to an
 * `external` one (collect metadata) whatever its id is.
 */
export function portChecks(exec: Exec, vxlanPort: number): Check {
  return (signal) =>
    guarded(CHECK, "install iproute2", async () => {
      const { code, stdout, stderr } = await exec.run(
        ["ip", "-json", "-details", "link", "show", "type", "vxlan"],
        {
          signal,
        },
      );
      if (code !== 0) throw new Error(stderr.trim());
      const links = v.parse(LINKS, stdout.trim() === "" ? [] : JSON.parse(stdout));
      const taken = links.filter(
        ({ linkinfo }) => linkinfo.info_data.port === vxlanPort && linkinfo.info_data.external,
      );
      if (taken.length === 0)
        return [ok(CHECK, `no device of this node takes all packets of UDP port ${vxlanPort}`)];
      return [
        failure(
          CHECK,
          `${taken.map(({ ifname }) => ifname).join(", ")} takes every VXLAN packet of UDP port ${vxlanPort} on this node (a CNI's tunnel)`,
          "set VXLAN_PORT to another port, such as 4790, and open it between nodes and pod VMs",
        ),
      ];
    });
}
