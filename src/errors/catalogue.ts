import { CaaError, type ErrorDetails, type ErrorKind } from "./caa-error.ts";

type Make = (message: string, details?: ErrorDetails) => CaaError;

const make =
  (kind: ErrorKind): Make =>
  (message, details) =>
    new CaaError(kind, message, details);

/** The caller gave up. */
export const cancelled: Make = make("cancelled");
/** A message from a socket does not make sense. */
export const invalidRequest: Make = make("invalid-request");
/** A flag, variable or file of the operator is wrong. Names the key, the value and the accepted form. */
export const invalidConfig: Make = make("invalid-config");
/** An initdata document is wrong. Names line and key. */
export const invalidInitdata: Make = make("invalid-initdata");
/** Something took longer than it may. */
export const deadlineExceeded: Make = make("deadline");
/** There is no such sandbox, pod or VM. */
export const notFound: Make = make("not-found");
/** A cloud resource is gone, or is on its way out. */
export const gone: Make = make("gone");
/** The sandbox or VM exists with other arguments. */
export const alreadyExists: Make = make("already-exists");
/** Somebody else changed the object since it was read; reading it again and trying again may help. */
export const conflict: Make = make("conflict");
/** The cloud or the cluster refuses our credentials, or they lack a right. */
export const unauthorised: Make = make("unauthorised");
/** PEERPODS_LIMIT_PER_NODE is reached. */
export const limitReached: Make = make("limit");
/** The subscription's or account's quota is used up. */
export const quotaExceeded: Make = make("quota");
/** The cloud has no room for this size in this zone now. */
export const capacityExhausted: Make = make("capacity");
/** The cloud asked us to slow down. */
export const throttled: Make = make("throttled");
/** User data, a frame or a field is over its limit. */
export const tooLarge: Make = make("too-large");
/** The call does not fit the state of its object. */
export const wrongState: Make = make("wrong-state");
/** This build, provider or platform does not do that. */
export const unsupported: Make = make("unsupported");
/** A bug of ours. */
export const internal: Make = make("internal");
/** The cloud, the VM or the other process cannot be reached now; trying again may help. */
export const unavailable: Make = make("unavailable");
/** The pod's network could not be read, set up or torn down. */
export const networkFailed: Make = make("network");
/** The journal is damaged, locked away or its disk is full. */
export const journalFailed: Make = make("journal");
