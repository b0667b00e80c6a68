import { describe, expect, test } from "vitest";
import { findHelm, Helm, NAMESPACE } from "./helm.ts";
import type { Grant } from "./manifests.ts";
import { rightLines, rightsIn, VERBS } from "./rights.ts";

const found = await findHelm();
const suffix = "missing" in found ? ` (${found.missing})` : "";
const helm = new Helm("path" in found ? found.path : "");

const RIGHTS = rightsIn(NAMESPACE);

const lines = ({ namespace, rule }: Grant): readonly string[] =>
  rightLines({
    namespace,
    verbs: rule.verbs,
    groups: rule.apiGroups,
    resources: rule.resources,
    names: rule.resourceNames,
  });

describe.skipIf("missing" in found)(`rights${suffix}`, () => {
  test("each component may do what the table says and nothing else", async () => {
    const rendered = await helm.render({ provider: "azure" });
    const accounts = rendered.ofKind("ServiceAccount").map(({ metadata }) => metadata.name);
    expect(accounts.toSorted()).toEqual(Object.keys(RIGHTS).toSorted());
    for (const account of accounts)
      expect(rendered.grantsOf(NAMESPACE, account).flatMap(lines).toSorted(), account).toEqual(
        RIGHTS[account],
      );
  });

  test("no verb, resource or group is a wildcard, and nobody may list Secrets or make pods", async () => {
    for (const provider of ["azure", "ibmcloud", "mock"]) {
      const rendered = await helm.render({ provider, openshift: { enabled: true } });
      const all = Object.keys(RIGHTS).flatMap((account) => rendered.grantsOf(NAMESPACE, account));
      for (const { rule } of all) {
        expect([...rule.verbs, ...rule.resources, ...rule.apiGroups]).not.toContain("*");
        if (rule.resources.includes("secrets")) expect(rule.verbs).not.toContain("list");
        if (rule.resources.includes("pods")) expect(rule.verbs).not.toContain("create");
        for (const verb of rule.verbs) expect(VERBS).toContain(verb);
      }
    }
  });

  test("no right is bound to anybody else", async () => {
    const rendered = await helm.render({ provider: "azure" });
    for (const binding of [...rendered.ofKind("RoleBinding"), ...rendered.ofKind("ClusterRoleBinding")]) {
      expect(binding["subjects"]).toEqual([
        {
          kind: "ServiceAccount",
          name: expect.toSatisfy((name) => Object.hasOwn(RIGHTS, name)),
          namespace: NAMESPACE,
        },
      ]);
    }
  });

  test("pull Secrets are read in chosen namespaces, or not at all, where that is asked for", async () => {
    const secrets = async (pullSecrets: object) =>
      (await helm.render({ provider: "azure", pullSecrets }))
        .grantsOf(NAMESPACE, "cloud-api-adaptor")
        .flatMap(lines)
        .filter((line) => line.endsWith(" secrets"));
    expect(await secrets({ access: "none" })).toEqual([]);
    expect(await secrets({ access: "namespaces", namespaces: ["a", "b"] })).toEqual([
      "a: get secrets",
      "b: get secrets",
    ]);
  });

  test("a token is mounted only where the API server is asked", async () => {
    const rendered = await helm.render({ provider: "azure" });
    for (const { kind, metadata } of rendered.workloads()) {
      const { serviceAccountName, automountServiceAccountToken } = rendered.template(
        kind,
        metadata.name,
      ).spec;
      const hasRights = (RIGHTS[serviceAccountName] ?? []).length > 0;
      expect(automountServiceAccountToken, metadata.name).toBe(hasRights);
      expect(rendered.get("ServiceAccount", serviceAccountName)["automountServiceAccountToken"]).toBe(false);
    }
  });
});
