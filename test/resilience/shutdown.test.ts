import { declareCases } from "./declare.ts";

declareCases("shutdown");
