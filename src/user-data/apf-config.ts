/** A route of the pod, as apf.json spells it. */
export interface PodRoute {
  /** Prefix; Go prints the default route as `::ffff:0.0.0.0/0`. */
  readonly dst: string;
  /** "" when there is none. */
  readonly gw: string;
  readonly dev?: string;
  readonly protocol?: "static" | "boot" | "dhcp" | "kernel";
  /** Absent: universe. */
  readonly scope?: "site" | "link" | "host" | "nowhere";
}

/** A neighbour entry of the pod; only permanent ones are sent. */
export interface PodNeighbor {
  readonly ip: string;
  readonly "hw-addr": string;
  readonly dev: string;
  readonly state: string;
}

/** `pod-network` of apf.json: what the VM needs to give the pod its addresses (Go: pkg/podnetwork/tunneler Config). */
export interface PodNetworkSpec {
  readonly podip: string;
  readonly "pod-hw-addr": string;
  readonly interface: string;
  readonly "worker-node-ip": string;
  readonly "tunnel-type": string;
  readonly routes: readonly PodRoute[];
  readonly neighbors: readonly PodNeighbor[] | null;
  readonly mtu: number;
  readonly index: number;
  readonly "vxlan-port": number;
  readonly "vxlan-id": number;
  readonly dedicated: boolean;
  readonly "external-net-via-pod-vm": boolean;
}

/** apf.json, the configuration of the agent-protocol-forwarder (Go: pkg/forwarder Config). The order of keys is Go's. */
export interface ApfConfig {
  readonly "pod-network": PodNetworkSpec;
  readonly "pod-namespace": string;
  readonly "pod-name": string;
  readonly "tls-server-key"?: string;
  readonly "tls-server-cert"?: string;
  readonly "tls-client-ca"?: string;
  readonly "tls-min-version"?: string;
  readonly "tls-cipher-suites"?: readonly string[];
}

export interface ApfInput {
  readonly podName: string;
  readonly podNamespace: string;
  readonly network: PodNetworkSpec;
  /** Absent with the operator's own certificates, which the image brings, and with disable-tls. */
  readonly tls?: {
    readonly serverKeyPem: string;
    readonly serverCertPem: string;
    readonly clientCaPem: string;
  };
  readonly profile: { readonly minVersion: string; readonly cipherSuites: readonly string[] };
}

/** The forwarder's configuration. It contains the server's key if `tls` is given. */
export function buildApfConfig(input: ApfInput): ApfConfig {
  const { tls, profile } = input;
  return {
    "pod-network": input.network,
    "pod-namespace": input.podNamespace,
    "pod-name": input.podName,
    ...(tls && {
      "tls-server-key": tls.serverKeyPem,
      "tls-server-cert": tls.serverCertPem,
      "tls-client-ca": tls.clientCaPem,
    }),
    ...(profile.minVersion !== "" && { "tls-min-version": profile.minVersion }),
    ...(profile.cipherSuites.length > 0 && { "tls-cipher-suites": profile.cipherSuites }),
  };
}

/** As Go's json.MarshalIndent with four blanks prints it: no final newline, and `<`, `>`, `&` and line separators escaped. */
export function apfJson(config: ApfConfig): string {
  const unicodeEscape = (character: string): string =>
    `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(config, null, 4).replaceAll(/[<>&\u2028\u2029]/g, unicodeEscape);
}
