export { kvmModule } from "./module.ts";
