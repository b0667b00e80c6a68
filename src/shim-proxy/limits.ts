/** Every bound and delay of the shim-proxy. The defaults are those of docs/design/001-shim-proxy.md. */
export interface ShimProxyLimits {
  /** How long a hypervisor call waits for a control plane before it is answered 14. */
  readonly holdMs: number;
  /** How often control planes may die under one call before it is answered 13. */
  readonly poisonDeaths: number;
  /** Pause between dials of a frame socket that refuses. */
  readonly ownerRedialMs: number;
  /** Connections to hypervisor.sock. */
  readonly maxHypervisorConnections: number;
  /** Unanswered calls of one connection, of either kind. */
  readonly maxCallsPerConnection: number;
  /** Bytes of all unanswered hypervisor calls. */
  readonly maxHypervisorBytes: number;
  /** Stops remembered for the next owner. */
  readonly maxOwedStops: number;
  /** Events that may wait for an owner which does not read them; then it is taken for dead. */
  readonly maxQueuedEvents: number;

  readonly maxSandboxes: number;
  /** Connections to one agent.ttrpc. */
  readonly maxAgentConnections: number;
  /** How long an agent call that was not written waits for the link. Also how long a Check waits before the proxy answers it. */
  readonly unwrittenHoldMs: number;
  /** A Check unanswered for so long, with nothing else heard, means that the link is down. */
  readonly checkTimeoutMs: number;
  /** The proxy sends a Check of its own when it heard nothing for so long. */
  readonly checkIdleMs: number;
  /** A link down for so long since the agent's last answer is given up. */
  readonly downLimitMs: number;
  /** Delay before the second dial; doubles up to `redialMaxMs`. */
  readonly redialMinMs: number;
  readonly redialMaxMs: number;
  /** As `redialMaxMs` while the VM has never answered: its StartVM waits, and half of this is added to it on average. */
  readonly firstDialMaxMs: number;
  /** For one TCP connect. */
  readonly connectTimeoutMs: number;
  /** For one TLS handshake. */
  readonly handshakeTimeoutMs: number;
  /** How long after a TLS 1.3 handshake the VM's refusal of our certificate is waited for, unless it shows its consent sooner. */
  readonly consentMs: number;
  /** Bytes of calls that one agent connection may hold while its link is down; then the shim is not read from. */
  readonly maxHeldBytes: number;
  /** The largest request that is kept to be asked again. */
  readonly maxKeptBytes: number;
  /** Bytes accepted for sending on a connection before whoever sends has to wait. */
  readonly maxQueuedBytes: number;
}

const MINUTE_MS = 60_000;
const MIB = 1024 * 1024;

export const DEFAULT_LIMITS: ShimProxyLimits = {
  holdMs: 10 * MINUTE_MS,
  poisonDeaths: 3,
  ownerRedialMs: 50,
  maxHypervisorConnections: 4096,
  maxCallsPerConnection: 4096,
  maxHypervisorBytes: 64 * MIB,
  maxOwedStops: 65_536,
  maxQueuedEvents: 20_000,

  maxSandboxes: 4096,
  maxAgentConnections: 64,
  unwrittenHoldMs: 2000,
  checkTimeoutMs: 8000,
  checkIdleMs: 5000,
  downLimitMs: 120_000,
  redialMinMs: 20,
  redialMaxMs: 250,
  firstDialMaxMs: 50,
  connectTimeoutMs: 1000,
  handshakeTimeoutMs: 5000,
  consentMs: 300,
  maxHeldBytes: 8 * MIB,
  maxKeptBytes: 64 * 1024,
  maxQueuedBytes: MIB,
};
