import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { issueVmIdentity } from "../../src/tls/index.ts";
import { FakeApi, serveFakeApi } from "../fakes/kubernetes/index.ts";
import { Child } from "../node/child.ts";

export interface ClusterPorts {
  readonly controller: number;
  readonly controllerHealth: number;
  readonly webhook: number;
  readonly webhookServer: number;
  readonly webhookHealth: number;
}

/** A cluster with one PeerPod whose node is gone. */
function cluster(): FakeApi {
  const api = new FakeApi();
  for (const resource of ["daemonsets.apps", "controllerrevisions.apps"]) api.resources.add(resource);
  api.put("namespaces", { metadata: { name: "kube-system" } });
  api.put("nodes", { metadata: { name: "node-1" }, status: {} });
  api.put("peerpods.confidentialcontainers.org", {
    metadata: {
      name: "left",
      namespace: "default",
      labels: { "confidentialcontainers.org/node": "gone", "confidentialcontainers.org/sandbox": "s1" },
      deletionTimestamp: new Date().toISOString(),
      finalizers: ["peer.pod/finalizer"],
    },
    spec: { cloudProvider: "mock", instanceID: "i-0123456789abcdef" },
  });
  return api;
}

/** A controller and a webhook, which have reviewed one pod. */
export async function startClusterProcesses(
  dir: string,
  ports: ClusterPorts,
  machineRoom: string,
): Promise<AsyncDisposable & { readonly children: readonly Child[] }> {
  await using opened = new AsyncDisposableStack();
  const api = opened.use(await serveFakeApi(cluster()));
  const certificates = join(dir, "webhook-tls");
  mkdirSync(certificates);
  const identity = await issueVmIdentity({ serverName: "localhost", nowMs: Date.now() });
  writeFileSync(join(certificates, "tls.crt"), identity.serverCertPem);
  writeFileSync(join(certificates, "tls.key"), identity.serverKeyPem.reveal(), { mode: 0o600 });
  const env = { PEERPODS_KUBECONFIG: api.kubeconfigFile, CLOUD_PROVIDER: "mock", POD_NAMESPACE: "own" };
  const start = (name: string, args: readonly string[]): Child => {
    const child = new Child(name, join(dir, "log", `${name}.log`), [name, ...args], env);
    opened.defer(() => child.kill("SIGTERM"));
    return child;
  };
  const controller = start("controller", [
    `-metrics-address=127.0.0.1:${ports.controller}`,
    `-controller-health-port=${ports.controllerHealth}`,
    `-mock-cloud-socket=${machineRoom}`,
  ]);
  const webhook = start("webhook", [
    `-metrics-address=127.0.0.1:${ports.webhook}`,
    "-webhook-address=127.0.0.1",
    `-webhook-port=${ports.webhookServer}`,
    `-webhook-health-port=${ports.webhookHealth}`,
    `-webhook-cert-dir=${certificates}`,
  ]);
  const children = [controller, webhook];
  const running = opened.move();
  return { children, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/** Asks the webhook about a pod that is none of its business. Resolves with the status, rejects while nobody listens. */
export async function review(port: number): Promise<number | undefined> {
  const asked = {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: { uid: "1", operation: "CREATE", object: { metadata: { name: "p" }, spec: { containers: [] } } },
  };
  const sent = request({
    ...{ host: "127.0.0.1", port, path: "/mutate-v1-pod", method: "POST", rejectUnauthorized: false },
    headers: { "content-type": "application/json" },
  });
  sent.end(JSON.stringify(asked));
  const [response] = await once(sent, "response");
  response.resume();
  return response.statusCode;
}
