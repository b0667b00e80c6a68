import * as v from "valibot";
import { describeError, networkFailed } from "../errors/index.ts";

/*
 * What we read of `ip -json` and `tc -json` (iproute2 6.1). Whatever iproute2 leaves out when it has its usual value is filled in.
 */

export interface LinkWithAddresses {
  readonly ifname: string;
  readonly mtu: number;
  /** Hardware address. */
  readonly address: string;
  readonly addr_info: readonly {
    readonly family: string;
    readonly local: string;
    readonly prefixlen: number;
    readonly scope: string;
  }[];
}

export interface Route {
  readonly type: string;
  /** `default` or a prefix; a host without its length. */
  readonly dst: string;
  readonly gateway: string;
  readonly dev: string;
  readonly protocol: string;
  readonly scope: string;
  readonly metric: number;
  readonly nexthops: readonly { readonly gateway: string; readonly dev: string }[];
}

export interface Neighbour {
  readonly dst: string;
  readonly dev: string;
  readonly lladdr: string;
  readonly state: readonly string[];
}

export interface Link {
  readonly ifname: string;
  readonly linkinfo: {
    readonly info_kind: string;
    readonly info_data: {
      readonly id?: number | undefined;
      readonly remote?: string | undefined;
      readonly port?: number | undefined;
    };
  };
}

export interface Qdisc {
  readonly kind: string;
}

export interface Filter {
  readonly kind: string;
  readonly pref: number;
  /** Absent in the row that tc prints for the list of filters as such. */
  readonly options?:
    | {
        /** The handle, such as `800::800`; `800:` is the row of a table of u32 filters. */
        readonly fh: string;
        readonly actions: readonly {
          readonly kind: string;
          readonly mirred_action: string;
          readonly direction: string;
          readonly to_dev: string;
        }[];
      }
    | undefined;
}

type ListDecoder<T> = (text: string) => readonly T[];

const text = (fallback: string): v.GenericSchema<unknown, string> => v.optional(v.string(), fallback);
const count = (fallback: number): v.GenericSchema<unknown, number> => v.optional(v.number(), fallback);

/** `ip -json address show` */
export const parseAddresses: ListDecoder<LinkWithAddresses> = decoder(
  "ip address",
  v.object({
    ifname: v.string(),
    mtu: v.number(),
    address: text(""),
    addr_info: v.optional(
      v.array(v.object({ family: v.string(), local: text(""), prefixlen: count(0), scope: text("global") })),
      [],
    ),
  }),
);

/** `ip -json route show table main` */
export const parseRoutes: ListDecoder<Route> = decoder(
  "ip route",
  v.object({
    type: text("unicast"),
    dst: v.string(),
    gateway: text(""),
    dev: text(""),
    protocol: text("boot"),
    scope: text("global"),
    metric: count(0),
    nexthops: v.optional(v.array(v.object({ gateway: text(""), dev: text("") })), []),
  }),
);

/** `ip -json neighbour show` */
export const parseNeighbours: ListDecoder<Neighbour> = decoder(
  "ip neighbour",
  v.object({ dst: v.string(), dev: text(""), lladdr: text(""), state: v.optional(v.array(v.string()), []) }),
);

const vxlanData = v.object({
  id: v.optional(v.number()),
  remote: v.optional(v.string()),
  port: v.optional(v.number()),
});

/** `ip -json -details link show` */
export const parseLinks: ListDecoder<Link> = decoder(
  "ip link",
  v.object({
    ifname: v.string(),
    linkinfo: v.optional(v.object({ info_kind: text(""), info_data: v.optional(vxlanData, {}) }), {
      info_kind: "",
    }),
  }),
);

/** `tc -json qdisc show` */
export const parseQdiscs: ListDecoder<Qdisc> = decoder("tc qdisc", v.object({ kind: v.string() }));

const action = v.object({ kind: text(""), mirred_action: text(""), direction: text(""), to_dev: text("") });

/** `tc -json filter show` */
export const parseFilters: ListDecoder<Filter> = decoder(
  "tc filter",
  v.object({
    kind: text(""),
    pref: count(0),
    options: v.optional(v.object({ fh: text(""), actions: v.optional(v.array(action), []) })),
  }),
);

function decoder<T>(tool: string, item: v.GenericSchema<unknown, T>): ListDecoder<T> {
  const list = v.array(item);
  return (output) => {
    if (output.trim() === "") return [];
    try {
      return v.parse(list, JSON.parse(output));
    } catch (cause) {
      const reason = describeError(cause);
      throw networkFailed(
        `cannot understand what ${tool} printed (${reason}); iproute2 5.19 or newer is needed`,
        {
          cause,
        },
      );
    }
  };
}

/** The answers to a batch: iproute2 prints one JSON array on a line for each command that shows something. */
export function batchAnswers(output: string, questions: number, tool: string): string[] {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  if (lines.length !== questions) {
    throw networkFailed(
      `${tool} printed ${lines.length} answers to ${questions} questions; iproute2 5.19 or newer is needed`,
    );
  }
  return lines;
}
