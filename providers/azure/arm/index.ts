export { type ArmId, normalRegion, parseArmId, sameArm } from "./arm-id.ts";
export { type AzureClients, type AzureTransport, connectAzure } from "./clients.ts";
export { azureFailure, type ErrorContext, fromFailure, toCaaError } from "./errors.ts";
export { type AzureFailure, isAlreadyThere, isNicReserved, isNotThere } from "./failure.ts";
export type { ArmConnection, AzureIdentity } from "./token.ts";
