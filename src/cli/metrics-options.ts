import type { OptionReader, OptionSpec } from "../../providers/contract.ts";
import { port } from "./option-checks.ts";
import type { OptionGroup } from "./shared-options.ts";

/** Host and port of `HOST:PORT`; an IPv6 address stands in brackets. */
const ADDRESS = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^:[\]\s]*)):([0-9]+)$/;

const METRICS_ADDRESS: OptionSpec = {
  flag: "metrics-address",
  env: "PEERPODS_METRICS_ADDRESS",
  kind: "string",
  help: "host:port on which GET /metrics is answered, without TLS or login, such as 127.0.0.1:9210, [::1]:9210 or :9210 for all addresses; unset: not at all. A standby does not listen",
  validate: (value) => {
    const [, , , number = ""] = ADDRESS.exec(value) ?? [];
    return number !== "" && port(number) === undefined
      ? undefined
      : "expected host:port, such as 127.0.0.1:9210 or :9210";
  },
};

/** For every command that has metrics. */
export const METRICS_OPTIONS: OptionGroup = { title: "Metrics", options: [METRICS_ADDRESS] };

/** Where metrics are served; undefined: nowhere. */
export function metricsAddress(
  options: OptionReader,
): { readonly host: string; readonly port: number } | undefined {
  const [, v6, name = "", number = ""] = ADDRESS.exec(options.string(METRICS_ADDRESS.flag)) ?? [];
  if (number === "") return undefined;
  return { host: v6 ?? (name === "" ? "::" : name), port: Number(number) };
}
