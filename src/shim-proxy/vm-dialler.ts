import { X509Certificate } from "node:crypto";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createSecureContext, type SecureContext, type TLSSocket, connect as tlsConnect } from "node:tls";
import { describeError, invalidRequest, unauthorised, unavailable } from "../errors/index.ts";
import { type Clock, Secret } from "../platform/index.ts";
import { type TlsProfile, tlsClientOptions } from "../tls/index.ts";
import type { DirectReads } from "../ttrpc/index.ts";
import type { VmVolume } from "./control-types.ts";
import type { FrameMemory } from "./frame-memory.ts";
import type { ShimProxyLimits } from "./limits.ts";

/** What is kept of a TLS profile: the keys are inside the context only, where nothing can read them back. */
export interface TlsCredentials {
  readonly context: SecureContext;
  readonly serverName: string;
  readonly skipVerify: boolean;
}

export interface TlsMaterial {
  readonly profile: TlsProfile;
  readonly serverName: string;
  readonly clientKeyPem: Buffer;
  readonly clientCertPem: string;
  readonly caPem: string;
  readonly skipVerify: boolean;
}

/** Throws `invalid-request` for keys or certificates that do not parse. Keeps no reference to the key's bytes. */
export function makeCredentials(material: TlsMaterial): TlsCredentials {
  const { serverName, skipVerify } = material;
  try {
    const options = tlsClientOptions({ ...material, clientKeyPem: new Secret("") });
    if (!isCertificate(material.caPem)) throw new Error("the CA is not a PEM certificate");
    return {
      context: createSecureContext({ ...options, key: material.clientKeyPem }),
      serverName,
      skipVerify,
    };
  } catch (cause) {
    throw invalidRequest(
      `the TLS key, certificate or CA for ${serverName} cannot be used: ${describeError(cause)}`,
      { cause },
    );
  }
}

/** Node takes any text for a CA, and then trusts nobody. */
function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

export interface VmAddress {
  readonly address: string;
  readonly port: number;
  /** Absent: plain TCP. */
  readonly tls: TlsCredentials | undefined;
}

/** Where the VM is, and what is told to it in CreateContainer. */
export interface VmTarget extends VmAddress {
  readonly volumes: readonly VmVolume[];
}

/** A connection to a VM's forwarder, with a count of what went over it (a sign of life below the level of frames). */
export interface VmStream {
  readonly stream: Duplex;
  /** Undefined: the stream is read as any other. */
  readonly reads?: DirectReads;
  bytesRead(): number;
  bytesWritten(): number;
}

/** Opens one connection. Rejects with `unauthorised` when trying again cannot help, else with `unavailable`. */
export type DialVm = (target: VmAddress, signal: AbortSignal) => Promise<VmStream>;

/** The dialler of the real network. */
export function makeVmDialler(clock: Clock, limits: ShimProxyLimits, memory: FrameMemory): DialVm {
  return async (target, signal) => {
    const where = `${target.address}:${target.port}`;
    const context: DialContext = { clock, where, signal };
    const reads = memory.newReads();
    const address = { host: target.address, port: target.port, onread: reads.onread };
    if (target.tls === undefined) {
      const socket = connect(address);
      await connected(socket, { ...context, limitMs: limits.connectTimeoutMs });
      return { stream: socket, reads, ...byteCounts(socket) };
    }
    // Not over a socket of our own: that takes no `onread`.
    const secure = tlsConnect({
      ...address,
      secureContext: target.tls.context,
      servername: target.tls.serverName,
      rejectUnauthorized: !target.tls.skipVerify,
    });
    await connected(secure, { ...context, limitMs: limits.connectTimeoutMs });
    await opened(secure, "secureConnect", "the TLS handshake", {
      ...context,
      limitMs: limits.handshakeTimeoutMs,
    });
    if (secure.getProtocol() === "TLSv1.3") await consent(secure, { ...context, limitMs: limits.consentMs });
    return { stream: secure, reads, ...byteCounts(secure) };
  };
}

async function connected(socket: Socket, wait: Wait): Promise<void> {
  await opened(socket, "connect", "the TCP connection", wait);
  socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS);
}

type ByteCounts = Pick<VmStream, "bytesRead" | "bytesWritten">;

/**
 * Counts what went over the wire. A TLS socket counts what was inside whole records; the handle under its own knows the rest, so that a
 * record on its slow way counts too. Should Node hide that handle, whole records have to do.
 */
function byteCounts(socket: Socket): ByteCounts {
  const handle: unknown = Reflect.get(socket, "_handle");
  const wire: unknown =
    typeof handle === "object" && handle !== null ? Reflect.get(handle, "_parent") : undefined;
  const counts = hasByteCounts(wire) ? wire : socket;
  // A handle that is closed counts from 0 again; what is told must never become less. Bytes read are asked for with each answer.
  const told = { read: 0, written: 0 };
  return {
    bytesRead: () => (told.read = Math.max(told.read, counts.bytesRead)),
    bytesWritten: () => (told.written = Math.max(told.written, counts.bytesWritten, socket.bytesWritten)),
  };
}

const hasByteCounts = (
  wire: unknown,
): wire is { readonly bytesRead: number; readonly bytesWritten: number } =>
  typeof wire === "object" &&
  wire !== null &&
  "bytesRead" in wire &&
  typeof wire.bytesRead === "number" &&
  "bytesWritten" in wire &&
  typeof wire.bytesWritten === "number";

/** TCP keep-alive: the proxy's own Checks are the real test, this keeps NAT entries of silent links. */
const KEEP_ALIVE_MS = 30_000;

interface DialContext {
  readonly clock: Clock;
  readonly where: string;
  readonly signal: AbortSignal;
}

type Wait = DialContext & { readonly limitMs: number };

/** Waits for `event`; destroys the socket and rejects on an error, a close, the time limit or an abort. */
async function opened(socket: Socket, event: string, what: string, wait: Wait): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onClose = (): void => reject(unavailable(`${wait.where} closed the connection during ${what}`));
  const onAbort = (): void => reject(unavailable(`the dial of ${wait.where} was given up`));
  const cancelTimer = wait.clock.schedule(wait.limitMs, () =>
    reject(unavailable(`${what} to ${wait.where} took longer than ${wait.limitMs} ms`)),
  );
  socket.once(event, resolve).once("error", reject).once("close", onClose);
  wait.signal.addEventListener("abort", onAbort);
  if (wait.signal.aborted) onAbort();
  try {
    await promise;
  } catch (error) {
    socket.destroy();
    throw dialError(wait.where, error);
  } finally {
    cancelTimer();
    wait.signal.removeEventListener("abort", onAbort);
    socket.off(event, resolve).off("close", onClose).off("error", reject);
    // Between here and the socket's next user an error must not be without a listener.
    if (socket.destroyed) socket.on("error", () => undefined);
  }
}

const CLOSED_AFTER_HANDSHAKE: Error = new Error("it closed the connection right after the TLS handshake");

/**
 * Whether the other side took our handshake and then hung up. A restart looks like that once; a server that does it every
 * time refuses our certificate without saying so (Node's servers do, Go's send an alert).
 */
export const isClosedAfterHandshake = (error: unknown): boolean =>
  error instanceof Error && error.cause === CLOSED_AFTER_HANDSHAKE;

/**
 * In TLS 1.3 the client is ready before the server has judged the client's certificate. A server that accepted it sends
 * session tickets (Go's and OpenSSL's do), one that refused it an alert; without either, time decides.
 */
async function consent(secure: TLSSocket, wait: Wait): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onClose = (): void => reject(CLOSED_AFTER_HANDSHAKE);
  const cancelTimer = wait.clock.schedule(wait.limitMs, resolve);
  // Node emits "session" from inside OpenSSL's read: what runs right after it must not write, or the records get garbled.
  secure
    .once("session", () => setImmediate(resolve))
    .once("error", reject)
    .once("close", onClose);
  try {
    await promise;
  } catch (error) {
    secure.on("error", () => undefined).destroy();
    throw dialError(wait.where, error);
  } finally {
    cancelTimer();
    secure.off("error", reject).off("close", onClose);
  }
}

/** Node's codes for a certificate that we refuse (node:tls, X509 certificate error codes). */
const CERTIFICATE_CODES: readonly string[] = [
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "CERT_SIGNATURE_FAILURE",
  "CERT_NOT_YET_VALID",
  "CERT_HAS_EXPIRED",
  "CERT_CHAIN_TOO_LONG",
  "CERT_REVOKED",
  "CERT_REJECTED",
  "CERT_UNTRUSTED",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED",
  "HOSTNAME_MISMATCH",
  "ERR_TLS_CERT_ALTNAME_INVALID",
];
/** TLS errors after which another attempt may go better: the other side was cut off or is in trouble. */
const PASSING_TLS_CODES: readonly string[] = [
  "ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR",
  "ERR_SSL_TLSV1_ALERT_USER_CANCELLED",
  "ERR_SSL_UNEXPECTED_EOF_WHILE_READING",
];

/** Whether the other side, or we, refused for a reason that time does not change. */
export function isRefusal(error: unknown): boolean {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return false;
  if (CERTIFICATE_CODES.includes(error.code)) return true;
  return error.code.startsWith("ERR_SSL_") && !PASSING_TLS_CODES.includes(error.code);
}

function dialError(where: string, error: unknown): Error {
  if (isRefusal(error)) {
    return unauthorised(
      `the pod VM at ${where} and this node do not accept each other's TLS certificates or profile: ${describeError(error)}`,
      { cause: error },
    );
  }
  return unavailable(`cannot reach the pod VM at ${where}: ${describeError(error)}`, { cause: error });
}
