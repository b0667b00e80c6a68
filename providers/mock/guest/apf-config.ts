import { readFile } from "node:fs/promises";
import * as v from "valibot";
import { describeError, invalidConfig } from "../../../src/errors/index.ts";

// The forwarder's configuration: cloud-api-adaptor, pkg/forwarder/forwarder.go (Config) and
// pkg/podnetwork/tunneler/tunneler.go (Config). Unknown fields are ignored, as Go's decoder does.

/** A route of the pod's namespace. */
export interface PodRoute {
  /** IPv4 prefix; `0.0.0.0/0` is the default route. */
  readonly dst: string;
  /** "" when on the link. */
  readonly gateway: string;
  readonly device: string;
  /** As iproute2 names it; "" is the kernel's choice. */
  readonly protocol: string;
  readonly scope: string;
}

/** A fixed neighbour of the pod. */
export interface PodNeighbour {
  readonly ip: string;
  readonly mac: string;
  readonly device: string;
  readonly state: string;
}

/** What the pod's interface in the VM is to look like. */
export interface PodNetworkConfig {
  /** Address and prefix length. */
  readonly podIp: string;
  readonly mac: string;
  readonly device: string;
  /** The tunnel's other end: an IPv4 address. */
  readonly workerIp: string;
  readonly routes: readonly PodRoute[];
  readonly neighbours: readonly PodNeighbour[];
  /** The pod interface's MTU on the worker, bytes. */
  readonly mtu: number;
  readonly vxlanPort: number;
  readonly vxlanId: number;
  readonly dedicated: boolean;
  readonly externalNetViaPodVm: boolean;
}

/** The forwarder's configuration, checked. Empty texts are fields that were left out. */
export interface ForwarderConfig {
  readonly podNetwork?: PodNetworkConfig;
  readonly podNamespace: string;
  readonly podName: string;
  readonly tlsServerKey: string;
  readonly tlsServerCert: string;
  readonly tlsClientCa: string;
  readonly tlsMinVersion: "" | "VersionTLS12" | "VersionTLS13";
  /** IANA names. */
  readonly tlsCipherSuites: readonly string[];
}

const IPV4 = /^(?:::ffff:)?(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})$/i;

/** Go prints an IPv4 default route as `::ffff:0.0.0.0/0`; an empty text and `0.0.0.0/0` mean the same. */
function readPrefix(text: string): string | undefined {
  if (text === "") return "0.0.0.0/0";
  const [address = "", bits = ""] = text.split("/");
  const ipv4 = IPV4.exec(address)?.[1];
  return ipv4 !== undefined && /^\d{1,2}$/.test(bits) && Number(bits) <= 32 ? `${ipv4}/${bits}` : undefined;
}

const prefix: v.GenericSchema<string, string> = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const read = readPrefix(dataset.value);
    if (read !== undefined) return read;
    addIssue({ message: `${JSON.stringify(dataset.value)} is not an IPv4 prefix` });
    return NEVER;
  }),
);
const ownPrefix = v.pipe(v.string(), v.minLength(1, "is empty"), prefix);
const ipv4 = v.pipe(v.string(), v.regex(IPV4, "is not an IPv4 address"));
const device = v.pipe(v.string(), v.regex(/^[^\s/]{1,15}$/, "is not an interface name"));
const mac = v.pipe(v.string(), v.regex(/^([\da-f]{2}:){5}[\da-f]{2}$/i, "is not a MAC address"));
const word = (allowed: readonly string[]): v.GenericSchema<string | undefined, string> =>
  v.optional(v.picklist(["", ...allowed]), "");

const ROUTE = v.object({
  dst: v.optional(prefix, "0.0.0.0/0"),
  gw: v.optional(v.union([v.literal(""), ipv4]), ""),
  dev: device,
  protocol: word(["static", "boot", "dhcp", "kernel"]),
  scope: word(["universe", "site", "link", "host", "nowhere"]),
});

const NEIGHBOUR = v.object({
  ip: ipv4,
  "hw-addr": mac,
  dev: device,
  state: v.picklist(["permanent", "noarp", "reachable", "stale"]),
});

const POD_NETWORK = v.object({
  podip: ownPrefix,
  "pod-hw-addr": mac,
  interface: device,
  "worker-node-ip": ownPrefix,
  "tunnel-type": v.literal("vxlan", "is not a tunnel type of this image; it has vxlan"),
  routes: v.optional(v.nullable(v.array(ROUTE)), []),
  neighbors: v.optional(v.nullable(v.array(NEIGHBOUR)), []),
  mtu: v.pipe(v.number(), v.integer(), v.minValue(68), v.maxValue(65_535)),
  "vxlan-port": v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
  "vxlan-id": v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(16_777_215)),
  dedicated: v.optional(v.boolean(), false),
  "external-net-via-pod-vm": v.optional(v.boolean(), false),
});

const APF = v.object({
  "pod-network": v.optional(v.nullable(POD_NETWORK)),
  "pod-namespace": v.optional(v.string(), ""),
  "pod-name": v.optional(v.string(), ""),
  "tls-server-key": v.optional(v.string(), ""),
  "tls-server-cert": v.optional(v.string(), ""),
  "tls-client-ca": v.optional(v.string(), ""),
  "tls-min-version": v.optional(v.picklist(["", "VersionTLS12", "VersionTLS13"]), ""),
  "tls-cipher-suites": v.optional(v.nullable(v.array(v.string())), []),
});

/** Decodes apf.json. Throws `invalid-config` naming the field. */
export function parseForwarderConfig(json: string): ForwarderConfig {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (cause) {
    throw invalidConfig(`apf.json is not JSON: ${describeError(cause)}`, { cause });
  }
  const result = v.safeParse(APF, parsed);
  if (result.success) return toConfig(result.output);
  const [issue] = result.issues;
  throw invalidConfig(`apf.json: ${v.getDotPath(issue) ?? "document"}: ${issue.message}`);
}

/** Reads and decodes apf.json. */
export async function readForwarderConfig(path: string): Promise<ForwarderConfig> {
  let json: string;
  try {
    json = await readFile(path, "utf8");
  } catch (cause) {
    throw invalidConfig(`cannot read the forwarder's configuration: ${describeError(cause)}`, { cause });
  }
  return parseForwarderConfig(json);
}

function toPodNetwork(read: v.InferOutput<typeof POD_NETWORK>): PodNetworkConfig {
  return {
    podIp: read.podip,
    mac: read["pod-hw-addr"],
    device: read.interface,
    workerIp: read["worker-node-ip"].replace(/\/.*/, ""),
    routes: (read.routes ?? []).map(({ dst, gw, dev, protocol, scope }) => ({
      dst,
      gateway: gw,
      device: dev,
      protocol,
      scope,
    })),
    neighbours: (read.neighbors ?? []).map((n) => ({
      ip: n.ip,
      mac: n["hw-addr"],
      device: n.dev,
      state: n.state,
    })),
    mtu: read.mtu,
    vxlanPort: read["vxlan-port"],
    vxlanId: read["vxlan-id"],
    dedicated: read.dedicated,
    externalNetViaPodVm: read["external-net-via-pod-vm"],
  };
}

function toConfig(read: v.InferOutput<typeof APF>): ForwarderConfig {
  const podNetwork = read["pod-network"];
  return {
    ...(podNetwork ? { podNetwork: toPodNetwork(podNetwork) } : {}),
    podNamespace: read["pod-namespace"],
    podName: read["pod-name"],
    tlsServerKey: read["tls-server-key"],
    tlsServerCert: read["tls-server-cert"],
    tlsClientCa: read["tls-client-ca"],
    tlsMinVersion: read["tls-min-version"],
    tlsCipherSuites: read["tls-cipher-suites"] ?? [],
  };
}
