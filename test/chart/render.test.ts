import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { CHART, findHelm, Helm, NAMESPACE, type Values } from "./helm.ts";
import type { Manifests } from "./manifests.ts";

const found = await findHelm();
const suffix = "missing" in found ? ` (${found.missing})` : "";
const helm = new Helm("path" in found ? found.path : "");

const CI = join(CHART, "ci");
const MANIFESTS = join(CHART, "..", "manifests");
const cases = (await readdir(CI)).map((file) => file.replace("-values.yaml", ""));
const valuesOf = async (name: string): Promise<Values> =>
  parse(await readFile(join(CI, `${name}-values.yaml`), "utf8"));

const AZURE: Values = { provider: "azure" };
type Workload = readonly [kind: string, name: string];

const ADAPTOR: Workload = ["DaemonSet", "cloud-api-adaptor-daemonset"];
const SHIM_PROXY: Workload = ["DaemonSet", "peerpods-shim-proxy"];
const WEBHOOK: Workload = ["Deployment", "peer-pods-webhook"];
const CONTROLLER: Workload = ["Deployment", "peerpod-controller"];
const CLEANUP: Workload = ["Job", "peerpods-cleanup"];
const ALL: readonly Workload[] = [ADAPTOR, SHIM_PROXY, WEBHOOK, CONTROLLER, CLEANUP];

const hostPaths = (rendered: Manifests, workload: Workload): readonly string[] =>
  rendered.template(...workload).spec.volumes.flatMap(({ hostPath }) => (hostPath ? [hostPath.path] : []));

const secretsOf = (rendered: Manifests, workload: Workload): readonly string[] =>
  rendered.container(...workload).envFrom.flatMap((source) => source["secretRef"]?.name ?? []);

describe.skipIf("missing" in found)(`the chart${suffix}`, () => {
  describe.each(cases)("with the values of ci/%s", (name) => {
    test("helm lint has nothing to say", async () => {
      const { ok, stdout } = await helm.lint(join(CI, `${name}-values.yaml`));
      expect(stdout).toContain("1 chart(s) linted, 0 chart(s) failed");
      expect(stdout).not.toMatch(/\[(WARNING|ERROR)\]/);
      expect(ok).toBe(true);
    });

    test("objects are there once, in the release's namespace, and labelled", async () => {
      const { objects } = await helm.render(await valuesOf(name));
      const ids = objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ""} ${metadata.name}`);
      expect(new Set(ids).size).toBe(ids.length);
      for (const { kind, metadata } of objects) {
        const isPullSecretRight = metadata.name === "peerpods-pull-secrets";
        if (metadata.namespace !== undefined && !isPullSecretRight)
          expect(metadata.namespace, kind).toBe(NAMESPACE);
        expect(metadata.labels, `${kind} ${metadata.name}`).toMatchObject({
          "app.kubernetes.io/part-of": "peerpods",
          "app.kubernetes.io/managed-by": "Helm",
        });
      }
    });

    test(`deploy/manifests/${name}.yaml is what the chart gives (UPDATE_GOLDEN=1 writes it)`, async () => {
      const values = { ...(await valuesOf(name)), namespace: { create: true } };
      // Hooks are Helm's: applied by hand, the clean-up would run at once.
      const { ok, stdout, stderr } = await helm.template(values, "--no-hooks");
      expect(stderr).toBe("");
      expect(ok).toBe(true);
      // Helm 3 and 4 leave different empty lines.
      const text = stdout.replaceAll(/\n(\s*\n)+/g, "\n");
      const file = join(MANIFESTS, `${name}.yaml`);
      if (process.env["UPDATE_GOLDEN"] === "1") await writeFile(file, text);
      expect(await readFile(file, "utf8")).toBe(text);
      expect(text).not.toContain("helm.sh/hook");
    });
  });

  test("a KVM host's key can be read by the one user of each component, and by nobody else", async () => {
    const rendered = await helm.render(await valuesOf("kvm"));
    const keyOf = (workload: Workload): unknown =>
      rendered.template(...workload).spec.volumes.find((volume) => volume["name"] === "ssh");
    // Octal in Kubernetes' YAML (1.1); this test's reader takes 0400 for a decimal number.
    const secret = (defaultMode: number) => ({ secret: { secretName: "kvm-host-key", defaultMode } });
    expect(keyOf(ADAPTOR)).toMatchObject(secret(400));
    for (const workload of [CONTROLLER, CLEANUP]) {
      expect(keyOf(workload)).toMatchObject(secret(440));
      expect(rendered.template(...workload).spec).toMatchObject({ securityContext: { fsGroup: 65532 } });
    }
    expect(keyOf(SHIM_PROXY)).toBeUndefined();
  });

  test("the adaptor is replaced with a stand-by beside it; the shim-proxy only when its pod is deleted", async () => {
    const rendered = await helm.render(AZURE);
    expect(rendered.get(...ADAPTOR)["spec"]).toMatchObject({
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    });
    expect(rendered.get(...SHIM_PROXY)["spec"]).toMatchObject({ updateStrategy: { type: "OnDelete" } });
  });

  test("no selector of one component matches the pods of another", async () => {
    const rendered = await helm.render(AZURE);
    for (const selecting of ALL.filter(([kind]) => kind !== "Job")) {
      const selector = Object.entries(rendered.selector(...selecting));
      expect(selector.length).toBeGreaterThan(0);
      const matched = ALL.filter((workload) => {
        const { labels } = rendered.template(...workload).metadata;
        return selector.every(([key, value]) => labels[key] === value);
      });
      expect(matched).toEqual([selecting]);
    }
    expect(rendered.get("Service", "peer-pods-webhook")["spec"]).toMatchObject({
      selector: rendered.selector(...WEBHOOK),
    });
  });

  test("neither DaemonSet changes its pods when the configuration, the release's name or other components change", async () => {
    const before = await helm.render(AZURE);
    const after = await helm.render({
      ...AZURE,
      config: { AZURE_REGION: "westus", PEERPODS_LIMIT_PER_NODE: 3 },
      webhook: { replicas: 3 },
      policies: { confinePods: { namespaces: ["a"] } },
    });
    for (const workload of [ADAPTOR, SHIM_PROXY])
      expect(after.template(...workload)).toEqual(before.template(...workload));
    // What reads it at start only is started again; it holds no pod.
    for (const workload of [WEBHOOK, CONTROLLER])
      expect(after.template(...workload).metadata).not.toEqual(before.template(...workload).metadata);
  });

  test("only the adaptor has capabilities, two of them; nothing may gain any or write its root", async () => {
    const rendered = await helm.render(AZURE);
    for (const workload of ALL) {
      const { securityContext } = rendered.container(...workload);
      const isAdaptor = workload === ADAPTOR;
      expect(securityContext, workload[1]).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"], add: isAdaptor ? ["NET_ADMIN", "SYS_ADMIN"] : [] },
      });
      const pod = rendered.template(...workload).spec;
      expect(pod.securityContext.seccompProfile).toEqual({ type: "RuntimeDefault" });
      const isOnNode = workload === ADAPTOR || workload === SHIM_PROXY;
      expect(pod.hostNetwork).toBe(isOnNode);
      expect(pod.securityContext.runAsNonRoot).toBe(!isOnNode);
      expect(pod["hostPID"] ?? pod["hostIPC"] ?? false).toBe(false);
    }
  });

  test("every path of the node that is mounted is in this list", async () => {
    const rendered = await helm.render(AZURE);
    expect(hostPaths(rendered, ADAPTOR).toSorted()).toEqual([
      "/run/containerd",
      "/run/kata-containers/shared/direct-volumes",
      "/run/netns",
      "/run/peerpod",
      "/var/lib/peerpods",
    ]);
    expect(hostPaths(rendered, SHIM_PROXY)).toEqual(["/run/peerpod"]);
    for (const workload of [WEBHOOK, CONTROLLER, CLEANUP]) expect(hostPaths(rendered, workload)).toEqual([]);

    const mounts = rendered.container(...ADAPTOR).volumeMounts;
    const mountOf = (path: string) => mounts.find(({ mountPath }) => mountPath === path);
    expect(mountOf("/run/netns")?.mountPropagation).toBe("HostToContainer");
    expect(mountOf("/run/containerd")).toMatchObject({ readOnly: true, mountPropagation: "HostToContainer" });
    expect(mountOf("/run/kata-containers/shared/direct-volumes")?.readOnly).toBe(true);
  });

  test("the adaptor is probed by commands, the shim-proxy not at all, and neither has a port of the node", async () => {
    const rendered = await helm.render(AZURE);
    const adaptor = rendered.container(...ADAPTOR);
    for (const [probe, what] of [
      [adaptor.startupProbe, "startup"],
      [adaptor.readinessProbe, "ready"],
      [adaptor.livenessProbe, "live"],
    ] as const)
      expect(probe).toMatchObject({ exec: { command: ["cloud-api-adaptor", "probe", what] } });
    const proxy = rendered.container(...SHIM_PROXY);
    expect([proxy.startupProbe, proxy.readinessProbe, proxy.livenessProbe]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect([...adaptor.ports, ...proxy.ports]).toEqual([]);
    const socket = adaptor.env.find(({ name }) => name === "PEERPODS_ADMIN_SOCKET")?.value ?? "";
    expect(adaptor.volumeMounts.some(({ mountPath }) => socket.startsWith(`${mountPath}/`))).toBe(true);
  });

  test("what the kubelet evicts and kills last is what pods depend on", async () => {
    const rendered = await helm.render(AZURE);
    for (const workload of [ADAPTOR, SHIM_PROXY])
      expect(rendered.template(...workload).spec.priorityClassName).toBe("system-node-critical");
    for (const workload of ALL)
      expect(Object.keys(rendered.container(...workload).resources.requests)).toEqual(["cpu", "memory"]);
    expect(rendered.container(...SHIM_PROXY).resources.limits).toEqual({});
    expect(rendered.template(...SHIM_PROXY).spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(
      86_400 * 30,
    );
  });

  test("all pods are for Linux nodes, and for the nodes and taints that the values name", async () => {
    const rendered = await helm.render({
      ...AZURE,
      nodeSelector: { pool: "peers" },
      tolerations: [{ key: "peers", operator: "Exists" }],
      daemonset: { nodeSelector: { size: "large" } },
    });
    for (const workload of ALL)
      expect(rendered.template(...workload).spec.nodeSelector, workload[1]).toEqual({
        "kubernetes.io/os": "linux",
        pool: "peers",
        ...(workload === ADAPTOR ? { size: "large" } : {}),
      });
    for (const workload of [ADAPTOR, SHIM_PROXY])
      expect(rendered.template(...workload).spec.tolerations).toEqual([{ key: "peers", operator: "Exists" }]);
  });

  test("credentials reach adaptor, controller and clean-up, whatever their Secret is called, and the webhook never", async () => {
    const created = await helm.render({ ...AZURE, secrets: { values: { AZURE_CLIENT_SECRET: "s3cret" } } });
    expect(created.data("Secret", "peer-pods-secret")).toEqual({ AZURE_CLIENT_SECRET: "s3cret" });
    const referred = await helm.render({
      ...AZURE,
      secrets: { mode: "reference", existingSecretName: "mine" },
    });
    expect(referred.find("Secret", "peer-pods-secret")).toBeUndefined();
    for (const workload of [ADAPTOR, CONTROLLER, CLEANUP]) {
      expect(secretsOf(created, workload)).toEqual(["peer-pods-secret"]);
      expect(secretsOf(referred, workload)).toEqual(["mine"]);
    }
    for (const workload of [WEBHOOK, SHIM_PROXY]) {
      expect(secretsOf(created, workload)).toEqual([]);
      expect(secretsOf(referred, workload)).toEqual([]);
    }
    // Of a key in both the ConfigMap's value wins, as with the Go adaptor: the later source does.
    expect(created.container(...ADAPTOR).envFrom).toEqual([
      { secretRef: { name: "peer-pods-secret" } },
      { configMapRef: { name: "peer-pods-cm" } },
    ]);
    const ambient = await helm.render(AZURE);
    expect(secretsOf(ambient, CONTROLLER)).toEqual([]);
  });

  test("keys of config reach the ConfigMap as they were written, large numbers too", async () => {
    const rendered = await helm.render({
      provider: "azure",
      providerConfigs: {
        azure: { AZURE_REGION: "eastus", ROOT_VOLUME_SIZE: 30 },
        ibmcloud: { IBMCLOUD_ZONE: "z" },
      },
      config: {
        AZURE_REGION: "westus",
        DISABLECVM: true,
        VXLAN_PORT: 4789,
        SOMETHING_NEW: 12345678,
        PAUSE_IMAGE: null,
      },
      tlsProfile: { minVersion: "VersionTLS13" },
    });
    expect(rendered.data("ConfigMap", "peer-pods-cm")).toEqual({
      AZURE_REGION: "westus",
      CLOUD_PROVIDER: "azure",
      DISABLECVM: "true",
      ROOT_VOLUME_SIZE: "30",
      SOMETHING_NEW: "12345678",
      TLS_MIN_VERSION: "VersionTLS13",
      VXLAN_PORT: "4789",
    });
  });

  test("certificates for pod VMs are mounted, and with values of their own also named", async () => {
    const tlsCerts = { caCert: "ca", clientCert: "cert", clientKey: "key" };
    const created = await helm.render({ ...AZURE, secrets: { tlsCerts } });
    expect(created.data("Secret", "certs-for-tls")).toEqual({
      "ca.crt": "ca",
      "client.crt": "cert",
      "client.key": "key",
    });
    expect(created.data("ConfigMap", "peer-pods-cm")).toMatchObject({
      CACERT_FILE: "/etc/certificates/ca.crt",
    });
    const referred = await helm.render({
      ...AZURE,
      secrets: { mode: "reference", existingTlsSecretName: "tls" },
    });
    expect(referred.data("ConfigMap", "peer-pods-cm")).not.toHaveProperty("CACERT_FILE");
    for (const rendered of [created, referred]) {
      const { volumeMounts } = rendered.container(...ADAPTOR);
      expect(volumeMounts.map(({ mountPath }) => mountPath)).toContain("/etc/certificates");
    }
  });

  test("an Entra identity is set on adaptor, controller and clean-up", async () => {
    const rendered = await helm.render({ ...AZURE, workloadIdentity: { azure: { clientId: "id" } } });
    for (const workload of ALL) {
      const { metadata, spec } = rendered.template(...workload);
      const account = rendered.get("ServiceAccount", spec.serviceAccountName);
      const expected = workload === WEBHOOK || workload === SHIM_PROXY ? undefined : "id";
      expect(account.metadata.annotations["azure.workload.identity/client-id"]).toBe(expected);
      expect(metadata.labels["azure.workload.identity/use"]).toBe(expected && "true");
    }
  });

  test("IBM's trusted profile gets its token where the program looks for it", async () => {
    const rendered = await helm.render({ provider: "ibmcloud" });
    for (const workload of [ADAPTOR, CONTROLLER, CLEANUP]) {
      expect(rendered.template(...workload).spec.volumes).toContainEqual({
        name: "vault-token",
        projected: {
          sources: [
            { serviceAccountToken: { path: "vault-token", audience: "iam", expirationSeconds: 3600 } },
          ],
        },
      });
      const { volumeMounts } = rendered.container(...workload);
      expect(volumeMounts.map(({ mountPath }) => mountPath)).toContain("/var/run/secrets/tokens");
    }
  });

  test("paths of the node that are moved are known to both DaemonSets", async () => {
    const rendered = await helm.render({ ...AZURE, hostPaths: { run: "/run/pp", state: "/srv/pp" } });
    expect(rendered.data("ConfigMap", "peer-pods-cm")).toMatchObject({
      REMOTE_HYPERVISOR_ENDPOINT: "/run/pp/hypervisor.sock",
      PODS_DIR: "/run/pp/pods",
      PEERPODS_STATE_DIR: "/srv/pp",
    });
    expect(rendered.container(...SHIM_PROXY).env).toEqual([
      { name: "REMOTE_HYPERVISOR_ENDPOINT", value: "/run/pp/hypervisor.sock" },
    ]);
    expect(hostPaths(rendered, SHIM_PROXY)).toEqual(["/run/pp"]);
    expect(hostPaths(rendered, ADAPTOR)).toEqual(expect.arrayContaining(["/run/pp", "/srv/pp"]));
  });

  test("the capacity through the kubelet needs its folder, and no right on nodes", async () => {
    const rendered = await helm.render({ ...AZURE, config: { PEERPODS_NODE_RESOURCE: "device-plugin" } });
    expect(hostPaths(rendered, ADAPTOR)).toContain("/var/lib/kubelet/device-plugins");
    const resources = rendered.grantsOf(NAMESPACE, "cloud-api-adaptor").flatMap(({ rule }) => rule.resources);
    expect(resources.filter((resource) => resource.startsWith("nodes"))).toEqual([]);
  });

  test("the webhook is asked for pods of our class only, and leaves room for an outage of one of its replicas", async () => {
    const rendered = await helm.render({ ...AZURE, runtimeClass: { name: "kata-x" } });
    expect(rendered.get("MutatingWebhookConfiguration", "peer-pods-webhook")["webhooks"]).toMatchObject([
      {
        failurePolicy: "Fail",
        timeoutSeconds: 5,
        reinvocationPolicy: "IfNeeded",
        matchConditions: [
          { expression: "has(object.spec.runtimeClassName) && object.spec.runtimeClassName == 'kata-x'" },
        ],
      },
    ]);
    expect(rendered.get("PodDisruptionBudget", "peer-pods-webhook")["spec"]).toMatchObject({
      minAvailable: 1,
      selector: { matchLabels: rendered.selector(...WEBHOOK) },
    });
    expect(rendered.template(...WEBHOOK).spec.affinity).toHaveProperty("podAntiAffinity");
    // With one replica a budget would hold up every drain of its node.
    const single = await helm.render({ ...AZURE, webhook: { replicas: 1 } });
    expect(single.ofKind("PodDisruptionBudget")).toEqual([]);
  });

  test("with cert-manager's certificates the webhook has no right, no token and no Secret of ours", async () => {
    const rendered = await helm.render({ ...AZURE, webhook: { certManager: { enabled: true } } });
    expect(rendered.grantsOf(NAMESPACE, "peer-pods-webhook")).toEqual([]);
    expect(rendered.template(...WEBHOOK).spec.automountServiceAccountToken).toBe(false);
    expect(rendered.find("Secret", "peer-pods-webhook-cert")).toBeUndefined();
    expect(rendered.get("Certificate", "peer-pods-webhook")["spec"]).toMatchObject({
      secretName: "peer-pods-webhook-cert",
      dnsNames: [`peer-pods-webhook.${NAMESPACE}.svc`, `peer-pods-webhook.${NAMESPACE}.svc.cluster.local`],
    });
  });

  test("the webhook's own certificate is no part of the release, so that an upgrade leaves it", async () => {
    const rendered = await helm.render(AZURE);
    expect(Object.keys(rendered.get("Secret", "peer-pods-webhook-cert"))).toEqual([
      "apiVersion",
      "kind",
      "metadata",
      "type",
    ]);
    expect(rendered.get("MutatingWebhookConfiguration", "peer-pods-webhook")["webhooks"]).not.toMatchObject([
      { clientConfig: { caBundle: expect.anything() } },
    ]);
  });

  test("what others may own is left to them", async () => {
    const rendered = await helm.render({ ...AZURE, runtimeClass: { create: false }, crd: { create: false } });
    expect(rendered.ofKind("RuntimeClass")).toEqual([]);
    expect(rendered.ofKind("CustomResourceDefinition")).toEqual([]);
    const own = await helm.render(AZURE);
    expect(own.get("RuntimeClass", "kata-remote")).toMatchObject({
      handler: "kata-remote",
      overhead: { podFixed: { cpu: expect.any(String), memory: expect.any(String) } },
    });
  });

  test("components that are switched off leave nothing, rights included", async () => {
    const rendered = await helm.render({
      ...AZURE,
      webhook: { enabled: false },
      resourceCtrl: { enabled: false },
      cleanup: { enabled: false },
      networkPolicy: { enabled: false },
      policies: { confinePods: { enabled: false }, protectNodes: { enabled: false } },
    });
    const rest = rendered.objects.filter(({ metadata }) => /webhook|controller|cleanup/.test(metadata.name));
    expect(rest).toEqual([]);
    expect(rendered.ofKind("NetworkPolicy")).toEqual([]);
    expect(rendered.ofKind("ValidatingAdmissionPolicy")).toEqual([]);
  });

  test("OpenShift gets constraints no wider than the pods, SELinux types, and users of its own choice", async () => {
    const rendered = await helm.render(await valuesOf("openshift"));
    const adaptor = rendered.get("SecurityContextConstraints", "peerpods-adaptor");
    const proxy = rendered.get("SecurityContextConstraints", "peerpods-shim-proxy");
    expect(adaptor["allowedCapabilities"]).toEqual(
      rendered.container(...ADAPTOR).securityContext.capabilities.add,
    );
    expect(proxy["allowedCapabilities"]).toEqual([]);
    expect(proxy["users"]).toEqual([`system:serviceaccount:${NAMESPACE}:peerpods-shim-proxy`]);
    for (const constraints of [adaptor, proxy]) {
      expect(constraints).toMatchObject({
        allowPrivilegedContainer: false,
        allowHostPID: false,
        allowHostIPC: false,
      });
    }
    for (const workload of [ADAPTOR, SHIM_PROXY])
      expect(rendered.template(...workload).spec.securityContext.seLinuxOptions).toEqual({ type: "spc_t" });
    for (const workload of [WEBHOOK, CONTROLLER])
      expect(rendered.template(...workload).spec.securityContext.runAsUser).toBeUndefined();
    expect(hostPaths(rendered, ADAPTOR)).toContain("/run/crio");
  });

  test("metrics are served where a port is given, and read from where that is allowed", async () => {
    const from = [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "monitoring" } } }];
    const rendered = await helm.render({
      ...AZURE,
      metrics: { port: 9210, podMonitor: { enabled: true } },
      networkPolicy: { metricsFrom: from },
    });
    const addressOf = (workload: Workload) =>
      rendered.container(...workload).env.find(({ name }) => name === "PEERPODS_METRICS_ADDRESS")?.value;
    expect(addressOf(ADAPTOR)).toBe("$(NODE_ADDRESS):9210");
    for (const [kind, name] of [WEBHOOK, CONTROLLER]) {
      expect(addressOf([kind, name])).toBe(":9210");
      expect(rendered.container(kind, name).ports).toContainEqual({ name: "metrics", containerPort: 9210 });
      expect(rendered.get("NetworkPolicy", name)["spec"]).toMatchObject({
        ingress: expect.arrayContaining([{ from, ports: [{ protocol: "TCP", port: 9210 }] }]),
      });
    }
    for (const workload of [ADAPTOR, WEBHOOK, CONTROLLER]) {
      const matchLabels = rendered.selector(...workload);
      const monitors = rendered.ofKind("PodMonitor").map((monitor) => monitor["spec"]);
      expect(monitors).toContainEqual(expect.objectContaining({ selector: { matchLabels } }));
    }
    // Nothing listens, and nothing may be reached, that was not asked for.
    const off = await helm.render({ ...AZURE, networkPolicy: { metricsFrom: from } });
    expect(off.get("NetworkPolicy", "peerpod-controller")["spec"]).not.toHaveProperty("ingress");
    expect(off.container(...CONTROLLER).ports).toEqual([{ name: "health", containerPort: 8081 }]);
  });

  test("an image is named by digest where there is one", async () => {
    const digest = `sha256:${"a".repeat(64)}`;
    const rendered = await helm.render({ ...AZURE, image: { name: "registry.example/x", tag: "1", digest } });
    for (const workload of ALL)
      expect(rendered.container(...workload).image).toBe(`registry.example/x@${digest}`);
  });

  test("the clean-up of an uninstall is a hook with all that it needs", async () => {
    const rendered = await helm.render({ ...AZURE, cleanup: { whenPodsRun: "destroy" } });
    expect(rendered.container(...CLEANUP).args).toEqual(["uninstall", "azure", "-when-pods-run=destroy"]);
    const hooks = rendered.objects.filter(
      ({ metadata }) => metadata.annotations["helm.sh/hook"] === "pre-delete",
    );
    expect(hooks.map(({ kind }) => kind).toSorted()).toEqual([
      "ClusterRole",
      "ClusterRoleBinding",
      "Job",
      "Role",
      "RoleBinding",
      "ServiceAccount",
    ]);
    const job = hooks.find(({ kind }) => kind === "Job");
    expect(job?.["spec"]).toMatchObject({
      backoffLimit: 2,
      podFailurePolicy: {
        rules: [
          {
            action: "FailJob",
            onExitCodes: { containerName: "cleanup", operator: "In", values: [2, 3] },
          },
        ],
      },
    });
  });
});
