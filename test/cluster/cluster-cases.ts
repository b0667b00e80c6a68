import {
  AuthenticationV1Api,
  CoreV1Api,
  KubeConfig,
  type KubernetesObject,
  PatchStrategy,
  setHeaderOptions,
  type V1ResourceQuota,
  VersionApi,
} from "@kubernetes/client-node";
import { describe, expect, test } from "vitest";
import { type Cluster, NODE_NAMES } from "./cluster.ts";
import type { ClusterApi } from "./cluster-api.ts";
import { startWebhook } from "./patching-webhook.ts";
import { KUBERNETES_VERSION } from "./programs.ts";

function coreOf(kubeconfigFile: string): CoreV1Api {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfigFile);
  return config.makeApiClient(CoreV1Api);
}

const status = (code: number) => expect.objectContaining({ code });

const pod = (name: string, spec: Readonly<Record<string, unknown>> = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name },
  spec: { containers: [{ name: "main", image: "none.invalid/none" }], ...spec },
});

const podIn = (namespace: string, name: string): KubernetesObject => {
  const made = pod(name);
  return { ...made, metadata: { ...made.metadata, namespace } };
};

/** What makes the API server call the webhook for pods of this namespace. */
const mutatingWebhook = (
  namespace: string,
  clientConfig: object,
): KubernetesObject & Record<string, unknown> => ({
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "MutatingWebhookConfiguration",
  metadata: { name: namespace },
  webhooks: [
    {
      name: "hook.example.com",
      clientConfig,
      rules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] }],
      namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
      sideEffects: "None",
      admissionReviewVersions: ["v1"],
    },
  ],
});

/** A policy by which no pod of this namespace may be named `no`. */
const refusingPolicy = (namespace: string): readonly (KubernetesObject & Record<string, unknown>)[] => [
  {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicy",
    metadata: { name: namespace },
    spec: {
      matchConstraints: {
        namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
        resourceRules: [
          { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] },
        ],
      },
      validations: [{ expression: "object.metadata.name != 'no'", message: "not this name" }],
    },
  },
  {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicyBinding",
    metadata: { name: namespace },
    spec: { policyName: namespace, validationActions: ["Deny"] },
  },
];

/** Lets a service account read the Node objects. */
const nodeReader = (name: string, namespace: string) => [
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name },
    rules: [{ apiGroups: [""], resources: ["nodes"], verbs: ["get", "list"] }],
  },
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name },
    subjects: [{ kind: "ServiceAccount", namespace, name: "default" }],
  },
];

const nodeObject = (name: string) => ({ apiVersion: "v1", kind: "Node", metadata: { name } });

const mergePatch = setHeaderOptions("Content-Type", PatchStrategy.MergePatch);

function identityCases(api: () => ClusterApi): void {
  test("a service account may what its role says, and each of its requests is on record", async () => {
    const namespace = await api().createNamespace("rbac");
    const account = coreOf(await api().kubeconfigOf({ namespace, serviceAccount: "default" }));
    await expect(account.listNode()).rejects.toEqual(status(403));
    await using _role = await api().create(nodeReader(namespace, namespace));
    expect((await account.listNode()).items).toBeInstanceOf(Array);
    await expect(account.listSecretForAllNamespaces()).rejects.toEqual(status(403));
    expect(await api().requestsOf(`system:serviceaccount:${namespace}:default`)).toEqual([
      { verb: "list", uri: "/api/v1/nodes", status: 403 },
      { verb: "list", uri: "/api/v1/nodes", status: 200 },
      { verb: "list", uri: "/api/v1/secrets", status: 403 },
    ]);
  });

  test("a token bound to a pod names the pod's node", async () => {
    const namespace = await api().createNamespace("token");
    const [nodeName] = NODE_NAMES;
    await using _node = await api().create([nodeObject(nodeName)]);
    await api().core.createNamespacedPod({ namespace, body: pod("bound", { nodeName }) });
    const token = await api().token({ namespace, serviceAccount: "default", pod: "bound" });
    const review = await api()
      .config.makeApiClient(AuthenticationV1Api)
      .createTokenReview({ body: { spec: { token } } });
    expect(review.status?.user?.extra).toMatchObject({
      "authentication.kubernetes.io/node-name": [nodeName],
      "authentication.kubernetes.io/pod-name": ["bound"],
    });
  });

  test("a kubelet may change its own node and no other", async () => {
    const [mine, other] = NODE_NAMES;
    await using _nodes = await api().create([nodeObject(mine), nodeObject(other)]);
    const kubelet = coreOf(await api().kubeconfigOfNode(mine));
    const body = { status: { capacity: { "example.com/thing": "2" } } };
    const patched = await kubelet.patchNodeStatus({ name: mine, body }, mergePatch);
    expect(patched.status?.capacity).toEqual({ "example.com/thing": "2" });
    await expect(kubelet.patchNodeStatus({ name: other, body }, mergePatch)).rejects.toEqual(status(403));
  });
}

function admissionCases(api: () => ClusterApi): void {
  test("a LimitRange fills in what a pod leaves out, and a ResourceQuota refuses what is over it", async () => {
    const namespace = await api().createNamespace("limits");
    await api().core.createNamespacedLimitRange({
      namespace,
      body: {
        metadata: { name: "defaults" },
        spec: { limits: [{ type: "Container", _default: { cpu: "2" } }] },
      },
    });
    await api().core.createNamespacedResourceQuota({
      namespace,
      body: { metadata: { name: "quota" }, spec: { hard: { "limits.cpu": "3" } } },
    });
    await api().waitFor<V1ResourceQuota>(
      `/api/v1/namespaces/${namespace}/resourcequotas`,
      ({ status: seen }) => seen?.hard !== undefined,
    );
    const created = await api().core.createNamespacedPod({ namespace, body: pod("first") });
    expect(created.spec?.containers[0]?.resources?.limits).toEqual({ cpu: "2" });
    await expect(api().core.createNamespacedPod({ namespace, body: pod("second") })).rejects.toEqual(
      status(403),
    );
  });

  test("a webhook behind a Service changes a pod that is created", async () => {
    const namespace = await api().createNamespace("hook");
    const patch = [{ op: "add", path: "/metadata/annotations", value: { changed: "yes" } }];
    await using server = await startWebhook(`hook.${namespace}.svc`, patch);
    await api().routeService(namespace, "hook", server.port);
    const service = { namespace, name: "hook" };
    await using _hook = await api().create([
      mutatingWebhook(namespace, { service, caBundle: Buffer.from(server.ca).toString("base64") }),
    ]);
    const isChanged = (seen?: KubernetesObject) => seen?.metadata?.annotations?.["changed"] === "yes";
    await api().waitForAdmission(podIn(namespace, "pod"), ({ object }) => isChanged(object));
    expect(isChanged(await api().core.createNamespacedPod({ namespace, body: pod("pod") }))).toBe(true);
  });

  test("a ValidatingAdmissionPolicy refuses what its expression does", async () => {
    const namespace = await api().createNamespace("policy");
    await using _policy = await api().create(refusingPolicy(namespace));
    await api().waitForAdmission(podIn(namespace, "no"), ({ error }) =>
      String(error).includes("not this name"),
    );
    await api().core.createNamespacedPod({ namespace, body: pod("yes") });
  });
}

function controllerCases(api: () => ClusterApi): void {
  test("what an object owns goes with it", async () => {
    const namespace = await api().createNamespace("owner");
    const owner = await api().core.createNamespacedConfigMap({
      namespace,
      body: { metadata: { name: "owner" } },
    });
    const uid = owner.metadata?.uid ?? "";
    const reference = { apiVersion: "v1", kind: "ConfigMap", name: "owner", uid };
    await api().core.createNamespacedConfigMap({
      namespace,
      body: { metadata: { name: "owned", ownerReferences: [reference] } },
    });
    const gone = api().waitFor(
      `/api/v1/namespaces/${namespace}/configmaps`,
      ({ metadata }, change) => change === "DELETED" && metadata?.name === "owned",
    );
    await api().core.deleteNamespacedConfigMap({ namespace, name: "owner" });
    await gone;
  });

  test("a namespace that is deleted goes with all that is in it", async () => {
    const namespace = await api().createNamespace("gone");
    await api().core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "thing" } } });
    const gone = api().waitFor(
      "/api/v1/namespaces",
      ({ metadata }, change) => change === "DELETED" && metadata?.name === namespace,
    );
    await api().core.deleteNamespace({ name: namespace });
    await gone;
  });
}

/** What the harness promises to the suites of the other areas. */
export function clusterCases(cluster: () => Cluster): void {
  const api = (): ClusterApi => cluster().api;
  describe("the control plane itself", () => {
    test("is the version that is asked for", async () => {
      const { gitVersion } = await api().config.makeApiClient(VersionApi).getCode();
      expect(gitVersion).toBe(KUBERNETES_VERSION);
    });

    identityCases(api);
    admissionCases(api);
    controllerCases(api);
  });
}
