import { declareCases } from "./declare.ts";

declareCases("damage");
