export { createDiscreetly } from "./discreet-provider.ts";
