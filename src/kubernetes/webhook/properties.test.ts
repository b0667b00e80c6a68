import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mutatePod } from "./mutate.ts";
import type { PatchOperation } from "./patch.ts";
import { applyPatch } from "./test-patch.ts";
import { testPolicy } from "./test-policy.ts";

const quantity = fc.constantFrom("0", "1", "250m", "1.5", "3", "100M", "64Mi", "2Gi", "1e3");
const resourceName = fc.constantFrom(
  "cpu",
  "memory",
  "ephemeral-storage",
  "nvidia.com/gpu",
  "example.com/nic",
  "kata.peerpods.io/vm",
);
const quantities = fc.option(fc.dictionary(resourceName, quantity, { maxKeys: 4 }), { nil: undefined });
const resources = fc.option(fc.record({ requests: quantities, limits: quantities }), { nil: undefined });
const containers = (prefix: string, minLength: number) =>
  fc
    .array(
      fc.record({
        resources,
        restartPolicy: fc.constantFrom(undefined, "Always"),
        futureField: fc.constantFrom(undefined, { a: [1] }),
      }),
      { minLength, maxLength: 3 },
    )
    .map((list) => list.map((one, index) => ({ name: `${prefix}${index}`, ...one })));
const pods = fc
  .record({
    annotations: fc.option(
      fc.dictionary(
        fc.constantFrom("io.katacontainers.config.hypervisor.default_vcpus", "team", "a~b/c"),
        fc.constantFrom("4", "x"),
      ),
      { nil: undefined },
    ),
    containers: containers("c", 1),
    initContainers: containers("i", 0),
    resources,
  })
  .map(({ annotations, ...spec }) =>
    // Without the keys that are undefined, as JSON brings it.
    JSON.parse(
      JSON.stringify({
        metadata: { name: "p", annotations },
        spec: { runtimeClassName: "kata-remote", nodeSelector: { a: "b" }, ...spec },
      }),
    ),
  );
const policies = fc
  .record({
    initContainers: fc.constantFrom("sum", "effective"),
    unknownResources: fc.constantFrom("strip", "keep"),
    defaultCpu: fc.constantFrom(0n, 1_000_000_000n),
  } as const)
  .map(testPolicy);

type Policy = ReturnType<typeof testPolicy>;

function operationsFor(pod: unknown, policy: Policy): readonly PatchOperation[] {
  const verdict = mutatePod(pod, policy);
  if (!verdict.allowed) throw new Error(verdict.message);
  return verdict.operations;
}

/** What is left of a pod's text when everything the webhook owns is taken out. */
function othersOf(pod: unknown): unknown {
  const copy = JSON.parse(JSON.stringify(pod));
  delete copy.spec.resources;
  for (const one of [...copy.spec.containers, ...copy.spec.initContainers]) delete one.resources;
  const own = /^io\.katacontainers\.|^kata\.peerpods\.io\//;
  copy.metadata.annotations = Object.fromEntries(
    Object.entries(copy.metadata.annotations ?? {}).filter(([key]) => !own.test(key)),
  );
  return copy;
}

/** LimitRange's defaults in every container that lacks them. */
function withDefaults(pod: unknown): unknown {
  const copy = JSON.parse(JSON.stringify(pod));
  const defaults = { cpu: "500m", memory: "128Mi" };
  for (const one of [...copy.spec.containers, ...copy.spec.initContainers]) {
    one.resources = {
      requests: { ...defaults, ...one.resources?.requests },
      limits: { ...defaults, ...one.resources?.limits },
    };
  }
  return copy;
}

describe("whatever the pod", () => {
  test("the patch applies, and changes nothing that is not the webhook's", () => {
    fc.assert(
      fc.property(pods, policies, (pod, policy) => {
        expect(othersOf(applyPatch(pod, operationsFor(pod, policy)))).toEqual(othersOf(pod));
      }),
    );
  });

  test("the worker is charged for one pod VM and nothing else of the containers'", () => {
    fc.assert(
      fc.property(pods, policies, (pod, policy) => {
        const after = JSON.parse(JSON.stringify(applyPatch(pod, operationsFor(pod, policy))));
        const all = [...after.spec.containers, ...after.spec.initContainers];
        const charged = all.flatMap((one) => Object.entries(one.resources?.requests ?? {}));
        const kept = policy.unknownResources === "keep" ? ["example.com/nic"] : [];
        expect(charged.filter(([name]) => !kept.includes(name))).toEqual([["kata.peerpods.io/vm", "1"]]);
        expect(after.spec.containers[0].resources.limits).toMatchObject({ "kata.peerpods.io/vm": "1" });
        expect(after.spec.resources).toBeUndefined();
      }),
    );
  });

  test("asked again, the webhook changes nothing", () => {
    fc.assert(
      fc.property(pods, policies, (pod, policy) => {
        const once = applyPatch(pod, operationsFor(pod, policy));
        expect(operationsFor(once, policy)).toEqual([]);
      }),
    );
  });

  test("LimitRange's defaults before and in between change no size of the first call", () => {
    fc.assert(
      fc.property(pods, policies, (pod, policy) => {
        const filled = withDefaults(pod);
        const once = applyPatch(filled, operationsFor(filled, policy));
        const again = withDefaults(once);
        const twice: unknown = applyPatch(again, operationsFor(again, policy));
        const annotations = (of: unknown) => JSON.parse(JSON.stringify(of)).metadata.annotations;
        expect(annotations(twice)).toEqual(annotations(once));
      }),
    );
  });
});
