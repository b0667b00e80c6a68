import { describeProviderConformance } from "../conformance/index.ts";
import { canMakeNamespaces } from "./mock-cloud/testing.ts";
import { mockHarness } from "./mock-harness.ts";

describeProviderConformance(
  "mock, VMs of namespaces",
  () => mockHarness(false),
  canMakeNamespaces ? undefined : "needs root",
);
