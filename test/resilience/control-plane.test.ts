import { declareCases } from "./declare.ts";

declareCases("control-plane");
