import { declareCases } from "./declare.ts";

declareCases("pool");
