import { describe } from "vitest";
import { failureTests } from "./failures.ts";
import type { MakeHarness } from "./harness.ts";
import { identityTests } from "./identity.ts";
import { interruptionTests } from "./interruptions.ts";
import { lifecycleTests, optionalTests } from "./lifecycle.ts";

/**
 * Holds a provider to the contract in providers/contract.ts. `makeHarness` is called once for each test and gives an empty
 * account; `skip` is a reason why this provider cannot be tried here, shown in the tests' names.
 */
export function describeProviderConformance(name: string, makeHarness: MakeHarness, skip?: string): void {
  const title = skip === undefined ? `provider ${name}` : `provider ${name} (${skip})`;
  describe.skipIf(skip !== undefined)(title, () => {
    describe("a VM's life", () => lifecycleTests(makeHarness));
    describe("limits and extras", () => optionalTests(makeHarness));
    describe("identity", () => identityTests(makeHarness));
    describe("failures", () => failureTests(makeHarness));
    describe("interruptions", () => interruptionTests(makeHarness));
  });
}
