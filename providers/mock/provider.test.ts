import { describeProviderConformance } from "../conformance/index.ts";
import { mockHarness } from "./mock-harness.ts";

describeProviderConformance("mock, VMs as plain processes", () => mockHarness(true));
