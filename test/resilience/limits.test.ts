import { declareCases } from "./declare.ts";

declareCases("limits");
