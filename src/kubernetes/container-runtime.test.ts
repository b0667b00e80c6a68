import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  ContainersService,
  type GetContainerRequest,
  GetContainerResponse,
} from "../gen/kubernetes/containerd.ts";
import {
  type ListPodSandboxRequest,
  ListPodSandboxResponse,
  RuntimeServiceService,
} from "../gen/kubernetes/cri.ts";
import { systemClock } from "../platform/index.ts";
import { type ContainerRuntime, containerRuntime } from "./container-runtime.ts";

const never = new AbortController().signal;
let dir = "";
let server: Server;
let runtime: ContainerRuntime;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "cri-"));
  server = new Server();
  runtime = containerRuntime(join(dir, "cri.sock"), systemClock);
});
afterEach(() => {
  runtime[Symbol.dispose]();
  server.forceShutdown();
  rmSync(dir, { recursive: true, force: true });
});

const listen = (): Promise<void> =>
  new Promise((resolve, reject) => {
    server.bindAsync(`unix:${join(dir, "cri.sock")}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });

function serveCri(): void {
  server.addService(RuntimeServiceService, {
    listPodSandbox: (
      _call: ServerUnaryCall<ListPodSandboxRequest, ListPodSandboxResponse>,
      answer: sendUnaryData<ListPodSandboxResponse>,
    ) =>
      answer(
        null,
        ListPodSandboxResponse.fromPartial({
          items: [
            { id: "a", state: 0 },
            { id: "b", state: 1 },
          ],
        }),
      ),
  });
}

describe("the container runtime", () => {
  test("lists every sandbox with its state", async () => {
    serveCri();
    await listen();
    expect(await runtime.list(never)).toEqual(
      new Map([
        ["a", "ready"],
        ["b", "not-ready"],
      ]),
    );
  });

  test("containerd tells the pod's UID from its own record, in the kubelet's namespace", async () => {
    const namespaces: unknown[] = [];
    server.addService(ContainersService, {
      get: (
        call: ServerUnaryCall<GetContainerRequest, GetContainerResponse>,
        answer: sendUnaryData<GetContainerResponse>,
      ) => {
        namespaces.push(...call.metadata.get("containerd-namespace"));
        if (call.request.id !== "a") return answer({ code: status.NOT_FOUND, details: "no such container" });
        answer(
          null,
          GetContainerResponse.fromPartial({
            container: { id: "a", labels: { "io.kubernetes.pod.uid": "uid-a" } },
          }),
        );
      },
    });
    await listen();
    expect(await runtime.podUid("a", never)).toBe("uid-a");
    expect(await runtime.podUid("gone", never)).toBeUndefined();
    expect(namespaces).toEqual(["k8s.io", "k8s.io"]);
  });

  test("a runtime without containerd's service, as CRI-O, says nothing of UIDs and lists all the same", async () => {
    serveCri();
    await listen();
    expect(await runtime.podUid("a", never)).toBeUndefined();
    expect((await runtime.list(never)).size).toBe(2);
  });

  test("one that does not answer makes calls fail with what to look at, and is used once it is there", async () => {
    await expect(runtime.list(never)).rejects.toMatchObject({
      code: 14,
      message: expect.stringContaining("CRI_RUNTIME_ENDPOINT"),
    });
    serveCri();
    await listen();
    await expect
      .poll(
        () =>
          runtime.list(never).then(
            (list) => list.size,
            () => 0,
          ),
        { timeout: 20_000 },
      )
      .toBe(2);
  });

  test("an aborted question ends", async () => {
    server.addService(RuntimeServiceService, { listPodSandbox: () => undefined });
    await listen();
    const leaving = new AbortController();
    const asked = runtime.list(leaving.signal);
    leaving.abort(new Error("leaving"));
    await expect(asked).rejects.toThrow();
  });
});
