import { randomBytes } from "node:crypto";
import type { CopyFileRequest, CreateContainerRequest } from "../../src/gen/agent/agent.ts";
import type { Mount } from "../../src/gen/agent/oci.ts";
import { PlayedAgentSession, type PlayedShim, type PodIdentity, podAnnotations } from "./played-shim.ts";
import { recordedPod, replaceText } from "./recorded-requests.ts";

const RECORDED_SANDBOX = "6d5834423bb23a1b072e3ed54b49323fd67922a5c6a745387f1b6ab245d21a61";
const RECORDED_CONTAINER = "f5bacb5ae82f1f75ffeeede080a8f3bf39765c79aedb15101537706f29f4c94e";
const RECORDED_IMAGE = "docker.io/library/busybox:latest";
const CALL_TIMEOUT_MS = 60_000;

export const newId = (): string => randomBytes(32).toString("hex");

export interface ContainerOptions {
  readonly image: string;
  readonly args: readonly string[];
  readonly mounts?: readonly Mount[];
  /** Of the pod, which the container runtime passes on to its containers. The recorded container's name is c1. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A pod as a stock Go shim runs it: the recording's calls in the recording's order, with ids and commands of its own. */
export class PlayedPod implements AsyncDisposable {
  readonly id: string = newId();
  readonly pod: PodIdentity;
  readonly #shim: PlayedShim;
  readonly #netns: string;
  readonly #recorded = recordedPod();
  #agentSocket = "";
  #session: PlayedAgentSession | undefined;
  /** The shim's "pod is alive": pends until the pause container ends. */
  alive: Promise<number> = Promise.resolve(0);

  constructor(shim: PlayedShim, pod: PodIdentity, netns: string) {
    this.#shim = shim;
    this.pod = pod;
    this.#netns = netns;
  }

  get session(): PlayedAgentSession {
    if (this.#session === undefined) throw new Error("the shim has not dialled the agent yet");
    return this.#session;
  }

  async create(annotations: Readonly<Record<string, string>> = {}): Promise<void> {
    this.#agentSocket = await this.#shim.createVm(
      this.id,
      podAnnotations(this.pod, annotations),
      this.#netns,
    );
  }

  async start(): Promise<void> {
    await this.#shim.startVm(this.id);
  }

  /** Dials the agent and makes the sandbox with its pause container; leaves GetOOMEvent and WaitProcess pending. */
  async openSandbox(): Promise<void> {
    this.#session = await PlayedAgentSession.open(this.#agentSocket);
    const { agent, health } = this.#session;
    const own = <T>(message: T): T => replaceText(message, RECORDED_SANDBOX, this.id);
    await health.check({ service: "" }, { timeoutMs: 30_000 });
    await agent.createSandbox(own({ ...this.#recorded.sandbox, hostname: this.pod.name }), {
      timeoutMs: 300_000,
    });
    await agent.getGuestDetails(
      { memBlockSize: true, memHotplugProbe: true },
      { timeoutMs: CALL_TIMEOUT_MS },
    );
    const [resolvConf] = this.#recorded.files;
    if (resolvConf !== undefined) await this.#copy(own(resolvConf));
    await agent.createContainer(own(this.#recorded.pause), { timeoutMs: CALL_TIMEOUT_MS });
    await agent.startContainer({ containerId: this.id }, { timeoutMs: CALL_TIMEOUT_MS });
    agent.getOOMEvent({}).catch(() => undefined); // Pends for the pod's life; its end is no news.
    this.alive = agent.waitProcess({ containerId: this.id, execId: this.id }).then((answer) => answer.status);
    this.alive.catch(() => undefined);
  }

  /** Starts a container; returns its id. */
  async startContainer(options: ContainerOptions): Promise<string> {
    const containerId = newId();
    const own = <T>(message: T): T =>
      replaceText(replaceText(message, RECORDED_SANDBOX, this.id), RECORDED_CONTAINER, containerId);
    for (const file of this.#recorded.files.slice(1)) await this.#copy(own(file));
    const request: CreateContainerRequest = replaceText(
      own(this.#recorded.container),
      RECORDED_IMAGE,
      options.image,
    );
    if (request.OCI?.Process === undefined) throw new Error("the recorded container has no process");
    request.OCI.Process.Args = [...options.args];
    request.OCI.Mounts.push(...(options.mounts ?? []));
    Object.assign(request.OCI.Annotations, options.annotations);
    await this.session.agent.createContainer(request, { timeoutMs: CALL_TIMEOUT_MS });
    await this.session.agent.startContainer({ containerId }, { timeoutMs: CALL_TIMEOUT_MS });
    return containerId;
  }

  async #copy(file: CopyFileRequest): Promise<void> {
    await this.session.agent.copyFile(file, { timeoutMs: CALL_TIMEOUT_MS });
  }

  /** Ends a container as the shim does, in the recording's order. */
  async removeContainer(containerId: string): Promise<void> {
    const { agent } = this.session;
    await agent.signalProcess({ containerId, execId: "", signal: 9 }, { timeoutMs: CALL_TIMEOUT_MS });
    await agent.waitProcess({ containerId, execId: containerId }).catch(() => undefined);
    await agent.removeContainer({ containerId, timeout: 0 }, { timeoutMs: CALL_TIMEOUT_MS });
    await agent.removeStaleVirtiofsShareMounts({}, { timeoutMs: CALL_TIMEOUT_MS });
  }

  /** Ends the pod: pause container, DestroySandbox, StopVM. */
  async stop(): Promise<void> {
    if (this.#session !== undefined) {
      await this.removeContainer(this.id);
      await this.session.agent.destroySandbox({}, { timeoutMs: CALL_TIMEOUT_MS });
    }
    await this.#shim.stopVm(this.id);
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session?.[Symbol.asyncDispose]();
    this.#session = undefined;
  }
}
