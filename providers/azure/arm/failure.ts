/** What Azure said when it refused something, whatever way it said so. */
export interface AzureFailure {
  /** The HTTP status; 0 when a long-running operation failed after it was accepted. */
  readonly status: number;
  /** Azure's error code, "" when the answer had none. */
  readonly code: string;
  readonly message: string;
  readonly retryAfterMs?: number;
}

const hasCode = (failure: AzureFailure, ...codes: readonly string[]): boolean =>
  codes.some((code) => code.toLowerCase() === failure.code.toLowerCase());

/** Too many calls, or another operation holds the network object (`RetryableErrorDueToAnotherOperation` is also a 429). */
export function isThrottled(failure: AzureFailure): boolean {
  return failure.status === 429 || hasCode(failure, "TooManyRequests", "RetryableErrorDueToAnotherOperation");
}

/** The subscription's quota (cores, public addresses) is used up. Azure's code for cores is the general `OperationNotAllowed`. */
export function isQuotaExceeded(failure: AzureFailure): boolean {
  return (
    hasCode(failure, "QuotaExceeded", "PublicIPCountLimitReached", "PublicIpAddressCountLimitReached") ||
    (hasCode(failure, "OperationNotAllowed") && /exceeding (approved|quota)/i.test(failure.message))
  );
}

/** The subnet has no free address. */
export function isSubnetFull(failure: AzureFailure): boolean {
  return hasCode(failure, "SubnetIsFull", "InsufficientSubnetSize");
}

/** The size is not sold to this subscription in this region or zone: another one may be. */
export function isSizeNotOffered(failure: AzureFailure): boolean {
  return hasCode(failure, "SkuNotAvailable");
}

/** The datacentre has no room now. Comes mostly when the operation was accepted already. */
export function isOutOfCapacity(failure: AzureFailure): boolean {
  return hasCode(
    failure,
    "AllocationFailed",
    "ZonalAllocationFailed",
    "OverconstrainedAllocationRequest",
    "OverconstrainedZonalAllocationRequest",
    "CapacityNotAvailable",
  );
}

/** The size cannot be a confidential VM (cloud-api-adaptor issue 1742 has the text). */
export function isNotConfidentialSize(failure: AzureFailure): boolean {
  return (
    failure.status === 400 &&
    hasCode(failure, "BadRequest", "InvalidParameter", "PropertyChangeNotAllowed") &&
    /ConfidentialVM|VMGuestStateOnly|securityEncryptionType/i.test(failure.message)
  );
}

/** `If-None-Match: *` met an existing VM: 412 by the rules of HTTP, 409 where a provider says conflict. */
export function isAlreadyThere(failure: AzureFailure): boolean {
  return (
    failure.status === 412 ||
    hasCode(failure, "PreconditionFailed", "ResourceExists") ||
    (failure.status === 409 && hasCode(failure, "Conflict", "PropertyChangeNotAllowed"))
  );
}

/** Another operation on the same object is not finished: later it will go. */
export function isBusy(failure: AzureFailure): boolean {
  return (
    hasCode(
      failure,
      "AnotherOperationInProgress",
      "OperationPreempted",
      "AttachDiskWhileBeingDetached",
      "NicInUse",
      "InUse",
      "PublicIPAddressCannotBeDeleted",
    ) ||
    (failure.status === 409 && !isQuotaExceeded(failure) && !isAlreadyThere(failure))
  );
}

/** A NIC stays reserved for its VM up to 180 s after a failed create (Karpenter for Azure, issue 92). */
export function isNicReserved(failure: AzureFailure): boolean {
  return hasCode(failure, "NicReservedForAnotherVm");
}

/** The VM started and its guest never reported ready. */
export function isGuestNeverReady(failure: AzureFailure): boolean {
  return hasCode(
    failure,
    "OSProvisioningTimedOut",
    "VMStartTimedOut",
    "OSProvisioningClientError",
    "OSProvisioningInternalError",
  );
}

/** There is no such thing. */
export function isNotThere(failure: AzureFailure): boolean {
  return failure.status === 404 || hasCode(failure, "ResourceNotFound", "NotFound", "ResourceGroupNotFound");
}

/** The token is not accepted: expired, or for another tenant. A fresh one may be. */
export function isTokenRefused(failure: AzureFailure): boolean {
  return failure.status === 401;
}

/** The identity lacks a right. */
export function isForbidden(failure: AzureFailure): boolean {
  return failure.status === 403 || hasCode(failure, "AuthorizationFailed", "LinkedAuthorizationFailed");
}

/** The image does not exist, is not shared with us, is not replicated to the region, or is of the wrong kind. */
export function isBadImage(failure: AzureFailure): boolean {
  return (
    hasCode(
      failure,
      "ImageNotFound",
      "GalleryImageNotFound",
      "PlatformImageNotFound",
      "InvalidImageReference",
      "ImageVersionNotFound",
    ) ||
    ((hasCode(failure, "InvalidParameter", "NotFound", "BadRequest") || failure.status === 404) &&
      /imageReference|galleries\/.*\/images\/|gallery image/i.test(failure.message))
  );
}

/** A subscription-wide switch is off: the provider is not registered, or the subscription is disabled. */
export function isSubscriptionUnusable(failure: AzureFailure): boolean {
  return hasCode(
    failure,
    "MissingSubscriptionRegistration",
    "SubscriptionNotFound",
    "SubscriptionNotRegistered",
    "ReadOnlyDisabledSubscription",
    "DisallowedProvider",
  );
}

/** The three numbers of a core-quota refusal, where the text has them. */
export interface QuotaNumbers {
  readonly limit: number;
  readonly usage: number;
  readonly required: number;
}

/** Reads limit, usage and what was needed out of Azure's quota text; undefined when it is another text. */
export function quotaNumbers(message: string): QuotaNumbers | undefined {
  const number = (label: RegExp): number | undefined => {
    const digits = label.exec(message)?.[1];
    return digits === undefined ? undefined : Number(digits);
  };
  const limit = number(/Current Limit:\s*(\d+)/i);
  const usage = number(/Current Usage:\s*(\d+)/i);
  const required = number(/Additional Required:\s*(\d+)/i);
  return limit === undefined || usage === undefined || required === undefined
    ? undefined
    : { limit, usage, required };
}
