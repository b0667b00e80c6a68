import { declareCases } from "./declare.ts";

declareCases("secrets");
