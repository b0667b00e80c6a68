import { declareCases } from "./declare.ts";

declareCases("admin");
