import { describeProviderConformance } from "../../providers/conformance/index.ts";
import { kvmHarness, missingForKvm } from "./kvm-harness.ts";

describeProviderConformance("kvm, real QEMU in software emulation", kvmHarness, missingForKvm);
