import { declareCases } from "./declare.ts";

declareCases("observe");
