import { lstatSync } from "node:fs";
import { isIP } from "node:net";
import { basename, isAbsolute, join, normalize } from "node:path";
import { alreadyExists, invalidRequest, notFound, tooLarge } from "../errors/index.ts";
import type { Event, PutLinkRequest, Volume } from "../gen/shimproxy/control.ts";
import { AGENT_SOCKET_NAME, AgentSandbox, type AgentSandboxDeps } from "./agent-sandbox.ts";
import { parseProfile } from "./control-validation.ts";
import { checkSocketPath } from "./placed-socket.ts";
import { checkId } from "./sandbox-id.ts";
import { makeCredentials } from "./vm-dialler.ts";

/** All sandboxes. Everything that comes over the control API is checked here. */
export class AgentFront {
  readonly #deps: AgentSandboxDeps;
  readonly #sandboxes: Map<string, AgentSandbox> = new Map();

  constructor(deps: AgentSandboxDeps) {
    this.#deps = deps;
  }

  /** How many sandboxes there are. */
  get size(): number {
    return this.#sandboxes.size;
  }

  snapshot(): Event[] {
    return [...this.#sandboxes.values()].map((sandbox) => ({ sandbox: sandbox.snapshot }));
  }

  async putSandbox(id: string, dir: string): Promise<void> {
    checkId(id);
    const existing = this.#sandboxes.get(id);
    if (existing !== undefined) {
      if (existing.dir !== dir)
        throw alreadyExists(`sandbox ${id} has its agent socket in ${existing.dir} already, not in ${dir}`);
      return existing.place();
    }
    checkDir(id, dir);
    if (this.#sandboxes.size >= this.#deps.limits.maxSandboxes)
      throw tooLarge(`${this.#sandboxes.size} sandboxes are open, more are not taken`);
    const sandbox = new AgentSandbox(id, dir, this.#deps);
    this.#sandboxes.set(id, sandbox);
    try {
      await sandbox.place();
    } catch (error) {
      if (this.#sandboxes.get(id) === sandbox) this.closeSandbox(id);
      throw error;
    }
  }

  async putLink(request: PutLinkRequest, signal: AbortSignal): Promise<void> {
    const { id, address, port, tls } = request;
    checkId(id);
    const sandbox = this.#sandboxes.get(id);
    if (sandbox === undefined) throw notFound(`sandbox ${id} is not known; call PutSandbox first`);
    if (isIP(address) === 0) throw invalidRequest(`address ${JSON.stringify(address)} is no IP address`);
    if (port < 1 || port > 65_535) throw invalidRequest(`port ${port} is not within 1 to 65535`);
    const timeoutMs = checkTimeout(request.timeoutMs);
    const volumes = request.volumes.map(checkVolume);
    const credentials =
      tls === undefined
        ? undefined
        : makeCredentials({
            profile: parseProfile(tls.minVersion, tls.cipherSuites),
            serverName: checkServerName(tls.serverName),
            clientKeyPem: Buffer.from(
              tls.clientKeyPem.buffer,
              tls.clientKeyPem.byteOffset,
              tls.clientKeyPem.length,
            ),
            clientCertPem: Buffer.from(tls.clientCertPem).toString(),
            caPem: Buffer.from(tls.caPem).toString(),
            skipVerify: tls.skipVerify,
          });
    await sandbox.putLink({ address, port, tls: credentials, volumes }, timeoutMs, signal);
  }

  failLink(id: string, reason: string): void {
    checkId(id);
    this.#sandboxes
      .get(id)
      ?.fail(reason === "" ? "the control plane says that the VM is gone" : reason.slice(0, 1000));
  }

  closeSandbox(id: string): void {
    checkId(id);
    const sandbox = this.#sandboxes.get(id);
    if (sandbox === undefined) return;
    this.#sandboxes.delete(id);
    sandbox.close();
  }

  close(): void {
    for (const id of [...this.#sandboxes.keys()]) this.closeSandbox(id);
  }
}

function checkDir(id: string, dir: string): void {
  if (!isAbsolute(dir) || normalize(dir) !== dir || dir.includes("\0"))
    throw invalidRequest(`the folder ${JSON.stringify(dir)} must be an absolute path without "." and ".."`);
  if (basename(dir) !== id)
    throw invalidRequest(`the folder ${JSON.stringify(dir)} must be named after its sandbox, ${id}`);
  checkSocketPath(join(dir, AGENT_SOCKET_NAME));
  const stat = lstatSync(dir, { throwIfNoEntry: false });
  if (stat?.isDirectory() !== true)
    throw invalidRequest(
      `the folder ${dir} ${stat === undefined ? "is not there" : "is no directory"}; make it first`,
    );
}

/** A day: longer than any PROXY_TIMEOUT, short enough for a timer. */
const MAX_TIMEOUT_MS = 24 * 60 * 60 * 1000;

function checkTimeout(timeoutMs: bigint): number {
  if (timeoutMs < 1n || timeoutMs > BigInt(MAX_TIMEOUT_MS))
    throw invalidRequest(`timeout_ms ${timeoutMs} is not within 1 to ${MAX_TIMEOUT_MS}`);
  return Number(timeoutMs);
}

/** A DNS name as it stands in certificates and SNI. */
const SERVER_NAME = /^[0-9A-Za-z]([0-9A-Za-z.-]{0,251}[0-9A-Za-z])?$/;

function checkServerName(name: string): string {
  if (!SERVER_NAME.test(name) || isIP(name) !== 0)
    throw invalidRequest(`server name ${JSON.stringify(name.slice(0, 300))} is no DNS name`);
  return name;
}

function checkVolume(volume: Volume): Volume {
  if (volume.targetPath === "" || volume.targetPath.includes(","))
    throw invalidRequest(`volume target path ${JSON.stringify(volume.targetPath)} is empty or has a comma`);
  return volume;
}
