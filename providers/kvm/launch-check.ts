import { unsupported } from "../../src/errors/index.ts";
import type { KvmDeps } from "./deps.ts";
import { onHost, readFacts } from "./host-errors.ts";
import { FACILITIES } from "./launch-security.ts";
import { networkValues } from "./network-values.ts";
import { qemuOf } from "./qemu-arguments.ts";

interface Context {
  readonly what: string;
  readonly signal: AbortSignal;
}

/** Asks the host for all that an operator must know of it. */
export async function hostFacts(
  deps: KvmDeps,
  image: string,
  context: Context,
): Promise<ReadonlyMap<string, string>> {
  const { config, host } = deps;
  const { kind: security } = config.launchSecurity ?? { kind: "" };
  const output = await onHost(
    host,
    {
      script: "facts",
      values: {
        ...{
          BASE: config.dir,
          IMAGE: image,
          QEMU: config.qemu,
          FIRMWARE: config.firmware,
          SECURITY: security,
        },
        ...networkValues(config.network),
      },
    },
    context,
  );
  return readFacts(output);
}

/** Why the host cannot give what KVM_LAUNCH_SECURITY asks for; undefined when it can, or nothing is asked for. */
export function missingFacility(deps: KvmDeps, facts: ReadonlyMap<string, string>): string | undefined {
  const { launchSecurity } = deps.config;
  if (launchSecurity === undefined) return undefined;
  const { arch, fact, accepted, text } = FACILITIES[launchSecurity.kind];
  if (facts.get("arch") !== arch)
    return `KVM_LAUNCH_SECURITY=${launchSecurity.kind} is for ${arch}, and ${deps.host.label} is ${facts.get("arch")}`;
  if (!accepted.includes(facts.get(fact) ?? "")) return `${deps.host.label} lacks ${text}`;
  if (facts.get("security-object") !== "1")
    return `${qemuOf(deps.config, arch)} on ${deps.host.label} knows no ${launchSecurity.kind} guests; it is too old`;
  return undefined;
}

/** Throws `unsupported` before a VM starts that would not be protected. */
export async function checkFacility(deps: KvmDeps, context: Context): Promise<void> {
  if (deps.config.launchSecurity === undefined) return;
  const problem = missingFacility(deps, await hostFacts(deps, "", context));
  if (problem !== undefined) throw unsupported(`${context.what}: ${problem}`);
}
