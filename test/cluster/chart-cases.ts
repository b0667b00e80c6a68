import {
  AuthorizationV1Api,
  KubeConfig,
  type KubernetesObject,
  KubernetesObjectApi,
  PatchStrategy,
} from "@kubernetes/client-node";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findHelm, Helm, RELEASE } from "../chart/helm.ts";
import { rightLines, rightsIn } from "../chart/rights.ts";
import { expressionCases, nodePolicyCases, podPolicyCases } from "./chart-policy-cases.ts";
import { uninstallCases } from "./chart-uninstall-cases.ts";
import type { Cluster } from "./cluster.ts";
import { InstalledChart } from "./installed-chart.ts";

const found = await findHelm();
const suffix = "missing" in found ? ` (${found.missing})` : "";

const INSTALL_TIMEOUT_MS = 120_000;

const base64 = (text: string): string => Buffer.from(text).toString("base64");

const SelfRules = v.object({
  incomplete: v.boolean(),
  resourceRules: v.array(
    v.object({
      verbs: v.array(v.string()),
      apiGroups: v.optional(v.array(v.string()), []),
      resources: v.optional(v.array(v.string()), []),
      resourceNames: v.optional(v.array(v.string()), []),
    }),
  ),
});

/** Every user may ask what it may do, and who it is. */
const EVERYBODYS = ["authorization.k8s.io", "authentication.k8s.io"];

async function configOf(cluster: Cluster, namespace: string, serviceAccount: string): Promise<KubeConfig> {
  const config = new KubeConfig();
  config.loadFromFile(await cluster.api.kubeconfigOf({ namespace, serviceAccount }));
  return config;
}

/** All that a user may do in a namespace, as the API server tells that user. */
async function rulesOf(config: KubeConfig, namespace: string): Promise<readonly string[]> {
  const review = await config
    .makeApiClient(AuthorizationV1Api)
    .createSelfSubjectRulesReview({ body: { spec: { namespace } } });
  const { incomplete, resourceRules } = v.parse(SelfRules, review.status);
  expect(incomplete).toBe(false);
  return resourceRules
    .filter(({ apiGroups }) => !apiGroups.some((group) => EVERYBODYS.includes(group)))
    .flatMap(({ verbs, apiGroups, resources, resourceNames }) =>
      rightLines({ namespace: "", verbs, groups: apiGroups, resources, names: resourceNames }),
    )
    .toSorted();
}

/** What a component has no business with, and may not do. */
const REFUSED = [
  ["cloud-api-adaptor", "list", "secrets"],
  ["cloud-api-adaptor", "update", "nodes"],
  ["cloud-api-adaptor", "delete", "nodes"],
  ["cloud-api-adaptor", "create", "pods"],
  ["cloud-api-adaptor", "create", "serviceaccounts/token"],
  ["cloud-api-adaptor", "get", "configmaps"],
  ["peerpods-shim-proxy", "get", "pods"],
  ["peer-pods-webhook", "get", "secrets"],
  ["peer-pods-webhook", "list", "pods"],
  ["peerpod-controller", "get", "secrets"],
  ["peerpod-controller", "create", "pods"],
  ["peerpod-controller", "get", "configmaps"],
] as const;

const peerPod = (
  namespace: string,
  name: string,
  spec: object = {},
): KubernetesObject & { spec: object } => ({
  apiVersion: "confidentialcontainers.org/v1alpha1",
  kind: "PeerPod",
  metadata: { name, namespace },
  spec: { cloudProvider: "azure", instanceID: "vm", ...spec },
});

function objectCases(cluster: () => Cluster, chart: () => InstalledChart): void {
  test("every object is there as it was written, and PeerPods can be made", async () => {
    const { api } = cluster();
    for (const { apiVersion, kind, metadata } of await chart().objects()) {
      const { name, namespace = "" } = metadata;
      const seen = await api.objects.read({ apiVersion, kind, metadata: { name, namespace } });
      expect(seen.metadata?.labels, `${kind} ${name}`).toMatchObject(metadata.labels);
    }
    await using _peerPod = await api.create([peerPod(chart().namespace, "trial")]);
    const wrong = peerPod(chart().namespace, "wrong", { instanceID: 5 });
    await expect(api.objects.create(wrong)).rejects.toThrow(/instanceID/);
  });

  test("the notes say what to do next, in words that can be pasted", async () => {
    const notes = await chart().run("get", "notes", RELEASE);
    expect(notes).toContain(`kubectl -n ${chart().namespace} get daemonset`);
    expect(notes).toContain("VMS:.status.allocatable.kata\\.peerpods\\.io/vm'");
    expect(notes).toContain("No credentials are given");
    expect(notes).not.toMatch(/<no value>|%!|\{\{/);
  });

  test("what others own is left to them", async () => {
    const { api } = cluster();
    await chart().apply({ runtimeClass: { create: false } });
    const others = { apiVersion: "node.k8s.io/v1", kind: "RuntimeClass", metadata: { name: "kata-remote" } };
    await using _others = await api.create([{ ...others, handler: "of-others" } as KubernetesObject]);
    await chart().apply({ runtimeClass: { create: "auto" } });
    expect(await api.objects.read(others)).toMatchObject({ handler: "of-others" });
    expect((await chart().objects()).filter(({ kind }) => kind === "RuntimeClass")).toEqual([]);
  });
}

function rightCases(cluster: () => Cluster, chart: () => InstalledChart): void {
  test("each service account may do what its table says, here and elsewhere, and nothing else", async () => {
    const { namespace } = chart();
    const elsewhere = await cluster().api.createNamespace("elsewhere");
    for (const [account, lines] of Object.entries(rightsIn(namespace))) {
      // The clean-up's comes with the uninstall.
      if (account === "peerpods-cleanup") continue;
      const config = await configOf(cluster(), namespace, account);
      const everywhere = lines.filter((line) => line.startsWith("*"));
      const here = lines.map((line) => line.replace(`${namespace}:`, "*:")).toSorted();
      expect(await rulesOf(config, elsewhere), account).toEqual(everywhere);
      expect(await rulesOf(config, namespace), account).toEqual(here);
    }
  });

  test.each(REFUSED)("%s may not %s %s", async (account, verb, asked) => {
    const { namespace } = chart();
    const user = `system:serviceaccount:${namespace}:${account}`;
    const [resource = "", subresource = ""] = asked.split("/");
    const resourceAttributes = { namespace, verb, resource, subresource, name: "some" };
    const review = await cluster()
      .api.config.makeApiClient(AuthorizationV1Api)
      .createSubjectAccessReview({ body: { spec: { user, resourceAttributes } } });
    expect(review.status?.allowed).toBe(false);
  });
}

function upgradeCases(cluster: () => Cluster, chart: () => InstalledChart): void {
  test("the webhook may keep its certificate and publish its authority, and upgrades leave both", async () => {
    const { namespace } = chart();
    const name = "peer-pods-webhook";
    const webhook = KubernetesObjectApi.makeApiClient(await configOf(cluster(), namespace, name));
    const secret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "peer-pods-webhook-cert", namespace },
    };
    const registration = {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "MutatingWebhookConfiguration",
      metadata: { name },
    };
    const empty: KubernetesObject & { readonly data?: unknown } = await webhook.read(secret);
    expect(empty.data).toBeUndefined();
    const data = { "tls.crt": base64("certificate"), "tls.key": base64("key") };
    await webhook.replace({ ...empty, data } as KubernetesObject);
    const caBundle = base64("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
    const webhooks = [{ name: "mwebhook.peerpods.io", clientConfig: { caBundle } }];
    const change: KubernetesObject & { webhooks: unknown } = { ...registration, webhooks };
    const how = PatchStrategy.StrategicMergePatch;
    await webhook.patch(change, undefined, undefined, undefined, undefined, how);

    await chart().apply({ webhook: { timeoutSeconds: 7 }, config: { AZURE_REGION: "westus" } });
    await chart().apply({ webhook: {}, config: {} });
    expect(await webhook.read(secret)).toMatchObject({ data });
    expect(await webhook.read(registration)).toMatchObject({
      webhooks: [{ timeoutSeconds: 5, clientConfig: { caBundle, service: { namespace } } }],
    });
    // Nothing of the key is in Helm's history.
    expect(await chart().run("get", "manifest", RELEASE)).not.toContain(data["tls.key"]);
  });
}

/** The chart on a real API server. There is no kubelet: its pods stay Pending. */
export function chartCases(cluster: () => Cluster): void {
  describe.skipIf("missing" in found)(`the chart${suffix}`, () => {
    let installed: InstalledChart | undefined;
    const chart = (): InstalledChart => {
      if (installed === undefined) throw new Error("the chart is installed only while a test runs");
      return installed;
    };

    beforeAll(async () => {
      const namespace = await cluster().api.createNamespace("chart");
      const helm = new Helm("path" in found ? found.path : "");
      installed = new InstalledChart(helm, cluster(), { namespace, values: { provider: "azure" } });
      await installed.apply();
    }, INSTALL_TIMEOUT_MS);

    afterAll(async () => {
      await installed?.tryTo("uninstall", RELEASE, "--no-hooks", "--ignore-not-found");
    }, INSTALL_TIMEOUT_MS);

    objectCases(cluster, chart);
    rightCases(cluster, chart);
    upgradeCases(cluster, chart);
    expressionCases(cluster, chart);
    podPolicyCases(cluster, chart);
    nodePolicyCases(cluster, chart);
    uninstallCases(cluster, chart);
  });
}
