import type { Route } from "./iproute-json.ts";

/** Where a namespace's traffic to everywhere goes. */
export interface PrimaryInterface {
  readonly name: string;
  /** "" when the default route has none. */
  readonly gateway: string;
}

/**
 * The interface of the IPv4 default routes (main table), by the Go adaptor's rule (pkg/podnetwork findPrimaryInterface): the one
 * with the lowest metric, then any with the same letters and a lower number (eth0 before eth1). Metrics are not compared further.
 */
export function primaryInterface(routes: readonly Route[]): PrimaryInterface | undefined {
  const candidates = routes
    .filter((route) => route.dst === "default" && route.type === "unicast" && route.dev !== "")
    .toSorted((a, b) => a.metric - b.metric);
  let chosen: (PrimaryInterface & InterfaceNumber) | undefined;
  for (const { dev, gateway } of candidates) {
    const numbered = interfaceNumber(dev);
    if (chosen === undefined || (numbered.prefix === chosen.prefix && numbered.number < chosen.number)) {
      chosen = { name: dev, gateway, ...numbered };
    }
  }
  return chosen && { name: chosen.name, gateway: chosen.gateway };
}

interface InterfaceNumber {
  readonly prefix: string;
  /** Infinity when there is no plain number at the end. */
  readonly number: number;
}

function interfaceNumber(name: string): InterfaceNumber {
  const firstDigit = name.search(/\d/);
  if (firstDigit < 0) return { prefix: name, number: Number.POSITIVE_INFINITY };
  const digits = name.slice(firstDigit);
  const number = /^\d+$/.test(digits) ? Number(digits) : Number.POSITIVE_INFINITY;
  return { prefix: name.slice(0, firstDigit), number };
}
