import { credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { unavailable } from "../errors/index.ts";
import { ContainersClient, type GetContainerResponse } from "../gen/kubernetes/containerd.ts";
import { type ListPodSandboxResponse, PodSandboxState, RuntimeServiceClient } from "../gen/kubernetes/cri.ts";
import type { Clock } from "../platform/index.ts";

/** How long the runtime may take to answer, milliseconds. */
const CALL_TIMEOUT_MS = 10_000;
/** containerd's namespace of the kubelet's pods (containerd pkg/cri/constants). */
const CONTAINERD_NAMESPACE = "k8s.io";
/** The kubelet's label of a sandbox (kubernetes pkg/kubelet/types/labels.go). */
const POD_UID_LABEL = "io.kubernetes.pod.uid";

/** A container runtime of the node, asked over its CRI socket. Fits the sandbox folder's `Runtime`. */
export interface ContainerRuntime extends Disposable {
  /**
   * The UID of the pod that a sandbox belongs to; undefined when the runtime does not say. containerd is asked for its own
   * record; CRI-O has no such service, and tells the UID in the sandbox's name.
   */
  podUid(sandboxId: string, signal: AbortSignal): Promise<string | undefined>;
  /** State of every sandbox of the node. Throws `unavailable` unless the list is complete. */
  list(signal: AbortSignal): Promise<ReadonlyMap<string, "ready" | "not-ready">>;
}

type Answer<T> = (error: ServiceError | null, response: T) => void;
interface Cancellable {
  cancel(): void;
}

/** Connects lazily: a runtime that is not there yet makes the calls fail, not this. */
export function containerRuntime(socket: string, clock: Clock): ContainerRuntime {
  const target = `unix:${socket}`;
  const options = { "grpc.default_authority": "localhost", "grpc.max_reconnect_backoff_ms": 1000 };
  const cri = new RuntimeServiceClient(target, credentials.createInsecure(), options);
  const containerd = new ContainersClient(target, credentials.createInsecure(), options);
  const ask = <T>(
    call: (deadline: number, answer: Answer<T>) => Cancellable,
    signal: AbortSignal,
  ): Promise<T> =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const running = call(clock.wallMs() + CALL_TIMEOUT_MS, (error, response) => {
        signal.removeEventListener("abort", onAbort);
        if (error === null) resolve(response);
        else reject(signal.aborted ? signal.reason : error);
      });
      const onAbort = (): void => running.cancel();
      signal.addEventListener("abort", onAbort, { once: true });
    });
  return {
    async podUid(sandboxId, signal) {
      const metadata = new Metadata();
      metadata.set("containerd-namespace", CONTAINERD_NAMESPACE);
      try {
        const { container } = await ask<GetContainerResponse>(
          (deadline, answer) => containerd.get({ id: sandboxId }, metadata, { deadline }, answer),
          signal,
        );
        return container?.labels[POD_UID_LABEL];
      } catch (error) {
        if (isStatus(error, status.UNIMPLEMENTED) || isStatus(error, status.NOT_FOUND)) return undefined;
        throw runtimeFailed(socket, error);
      }
    },
    async list(signal) {
      try {
        const { items } = await ask<ListPodSandboxResponse>(
          (deadline, answer) =>
            cri.listPodSandbox({ filter: undefined }, new Metadata(), { deadline }, answer),
          signal,
        );
        return new Map(
          items.map((item) => [
            item.id,
            item.state === PodSandboxState.SANDBOX_READY ? "ready" : "not-ready",
          ]),
        );
      } catch (error) {
        throw runtimeFailed(socket, error);
      }
    },
    [Symbol.dispose]() {
      cri.close();
      containerd.close();
    },
  };
}

const isStatus = (error: unknown, code: number): boolean =>
  error instanceof Error && "code" in error && error.code === code;

const runtimeFailed = (socket: string, cause: unknown): Error =>
  unavailable(
    `the container runtime does not answer on ${socket}; check CRI_RUNTIME_ENDPOINT and its mount`,
    { cause },
  );
