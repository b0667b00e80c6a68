export { type SizeChoice, type SizeReason, selectSize } from "./select.ts";
export { azureEpcMiB, azureSgxSize } from "./sgx.ts";
export { compareSizes, type OfferedSize, type SizeRules } from "./size.ts";
export { applySizing, parseSizingPolicy, SIZING_POLICIES, type SizingPolicy, withSizing } from "./sizing.ts";
