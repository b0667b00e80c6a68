import { declareCases } from "./declare.ts";

declareCases("links");
