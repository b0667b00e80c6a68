import { ReadStreamRequest, WaitProcessRequest, WaitProcessResponse } from "../gen/agent/agent.ts";
import { decodeRequest, type RequestEnvelope } from "../ttrpc/index.ts";

/** How a call of the kata agent is treated when the link breaks under it. */
export type AgentCallKind =
  /** Health.Check: asked again, and answered by the proxy while the link is down. */
  | "check"
  /** WaitProcess: asked again. */
  | "wait"
  /** ReadStdout, ReadStderr: asked again. */
  | "read"
  /** GetOOMEvent: asked again only if the agent can stand it. */
  | "oom"
  /** CreateContainer: never asked again; its payload is completed. */
  | "create-container"
  /** Everything else: never asked twice. */
  | "once";

const KINDS: ReadonlyMap<string, AgentCallKind> = new Map([
  ["grpc.Health/Check", "check"],
  ["grpc.AgentService/WaitProcess", "wait"],
  ["grpc.AgentService/ReadStdout", "read"],
  ["grpc.AgentService/ReadStderr", "read"],
  ["grpc.AgentService/GetOOMEvent", "oom"],
  ["grpc.AgentService/CreateContainer", "create-container"],
]);

/** Go's services are registered by full name; that is what both shims send. */
export const kindOf = (request: RequestEnvelope): AgentCallKind =>
  KINDS.get(`${request.service}/${request.method}`) ?? "once";

/** Whether a call of this kind may be put to the agent a second time. */
export const mayBeAskedAgain = (kind: AgentCallKind): boolean =>
  kind !== "once" && kind !== "create-container";

/** The exit status of a process whose own one was lost. Never 0: nobody may take it for a success. */
export const LOST_EXIT_STATUS = 255;

export const lostExit = (): Uint8Array =>
  WaitProcessResponse.encode(WaitProcessResponse.create({ status: LOST_EXIT_STATUS })).finish();

/** Whose process or stream a kept WaitProcess or Read is about, for people. */
export function describeProcess(data: Buffer): string {
  try {
    const { method, payload } = decodeRequest(data);
    const { containerId, execId } =
      method === "WaitProcess" ? WaitProcessRequest.decode(payload) : ReadStreamRequest.decode(payload);
    const process = execId === "" || execId === containerId ? "" : ` process ${execId}`;
    return `${method} of container ${containerId}${process}`;
  } catch {
    return "a process";
  }
}

/** The first agent that does not deadlock when GetOOMEvent is asked while an earlier one still pends (shim-proxy.md). */
const FIRST_SAFE_OOM: readonly number[] = [3, 32, 0];

/** Whether an agent of this version may be asked GetOOMEvent twice. One that does not tell, or a pre-release, may not. */
export function standsSecondOomCall(agentVersion: string | undefined): boolean {
  const match = /^v?(\d+)\.(\d+)\.(\d+)(.*)$/.exec(agentVersion ?? "");
  if (match === null) return false;
  const [, major = "", minor = "", patch = "", rest = ""] = match;
  const version = [Number(major), Number(minor), Number(patch)];
  for (const [index, part] of FIRST_SAFE_OOM.entries()) {
    const own = version[index] ?? 0;
    if (own !== part) return own > part;
  }
  return !rest.startsWith("-");
}
