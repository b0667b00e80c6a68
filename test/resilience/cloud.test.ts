import { declareCases } from "./declare.ts";

declareCases("cloud");
