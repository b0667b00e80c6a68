export type {
  CallKind,
  CloudControl,
  CloudFault,
  CloudFaultKind,
  MakeHarness,
  ProviderHarness,
  ProviderSettings,
  SeenCall,
  Verdict,
} from "./harness.ts";
export { describeProviderConformance } from "./suite.ts";
