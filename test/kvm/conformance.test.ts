import { describeProviderConformance } from "../../providers/conformance/index.ts";
import { kvmHarness } from "./kvm-harness.ts";
import { whyNoVms } from "./prepare.ts";

describeProviderConformance("kvm, real QEMU in software emulation", () => kvmHarness(), whyNoVms());
