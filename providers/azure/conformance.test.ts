import type { ArmFault } from "../../test/fakes/azure/index.ts";
import { FakeAccount } from "../../test/fakes/azure/index.ts";
import {
  type CloudFault,
  type CloudFaultKind,
  describeProviderConformance,
  type ProviderHarness,
} from "../conformance/index.ts";

const QUOTA_TEXT =
  "Operation could not be completed as it results in exceeding approved standardDCASv5Family Cores quota. Additional details - Current Limit: 4, Current Usage: 4, Additional Required: 2.";

/** Azure's words for what the suite asks for. */
function inAzuresWords(fault: CloudFault): ArmFault {
  const shared = {
    on: fault.on,
    count: fault.count ?? 1,
    skip: fault.skip ?? 0,
    label: fault.kind,
  };
  switch (fault.kind) {
    case "quota":
      return { ...shared, kind: 409, code: "OperationNotAllowed", message: QUOTA_TEXT };
    case "capacity":
      return { ...shared, kind: 409, code: "AllocationFailed", message: "Allocation failed." };
    case "throttled":
      return { ...shared, kind: 429, code: "TooManyRequests", retryAfterMs: fault.retryAfterMs ?? 1000 };
    case "unavailable":
      return { ...shared, kind: 503, code: "ServiceUnavailable" };
    case "unauthorised":
      return { ...shared, kind: 403, code: "AuthorizationFailed", message: "does not have authorization" };
    case "lost":
    case "hang":
      return { ...shared, kind: fault.kind };
  }
}

const KINDS: readonly CloudFaultKind[] = [
  "quota",
  "capacity",
  "throttled",
  "unavailable",
  "unauthorised",
  "lost",
  "hang",
];

async function azureHarness(): Promise<ProviderHarness> {
  const account = new FakeAccount();
  const { azure } = account;
  return {
    cloud: {
      fault: async (fault) => azure.fault(inAzuresWords(fault)),
      clearFaults: async () => azure.clearFaults(),
      calls: () =>
        azure.calls.map(({ kind, atMs, fault }) => ({
          kind,
          atMs,
          fault: KINDS.find((one) => one === fault?.label),
        })),
      intercept: (call, hook) => account.hold(call, hook),
      resources: async () => azure.resources(),
      vmNames: async () => azure.world.vms.all().map((vm) => vm.name),
      failNextBoot: async () => {
        azure.world.settings.bootFailures = 1;
      },
      vanish: async (name) => azure.vanish(name),
    },
    provider: ({ owner, userTags = {} }) => account.provider({ tags: userTags }, owner),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

describeProviderConformance("azure, on a fake Resource Manager", azureHarness);
