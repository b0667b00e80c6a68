import type { Provider } from "../../providers/contract.ts";
import { describeError } from "../errors/index.ts";
import { type Check, type Finding, failure, info, ok, warning } from "./finding.ts";

/** Credentials, image, network, sizes and quota, as the provider finds them. */
export function cloudChecks(provider: Provider): readonly Check[] {
  const fix = `see docs/providers, ${provider.name}`;
  return [
    async (signal) =>
      (await provider.verify(signal)).map(({ check, level, text }): Finding => {
        const name = `${provider.name} ${check}`;
        if (level === "ok") return ok(name, text);
        return level === "warning" ? warning(name, text, fix) : failure(name, text, fix);
      }),
    async (signal) => {
      const check = `${provider.name} quota`;
      if (provider.quota === undefined)
        return [info(check, "this provider cannot tell how many VMs still fit")];
      try {
        const left = await provider.quota(signal);
        if (left === undefined) return [info(check, "the cloud names no limit")];
        if (left > 0) return [ok(check, `${left} more VMs of the default size fit`)];
        return [
          failure(
            check,
            "no VM of the default size fits any more",
            "raise the quota, or delete VMs that are not needed",
          ),
        ];
      } catch (error) {
        return [warning(check, describeError(error), fix)];
      }
    },
  ];
}
