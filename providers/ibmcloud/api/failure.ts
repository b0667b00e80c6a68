/** What IBM said when it refused something, or why an instance did not start. */
export interface IbmFailure {
  /** The HTTP status; 0 when an instance failed after its create was accepted. */
  readonly status: number;
  /** The first error's code (`not_authorized`), or a status reason's (`cannot_start_capacity`); "" when there was none. */
  readonly code: string;
  readonly message: string;
  /** IBM's id of the request, for its support; "" when unknown. */
  readonly trace: string;
  readonly retryAfterMs?: number;
}

const hasCode = (failure: IbmFailure, ...codes: readonly string[]): boolean => codes.includes(failure.code);

/** Too many calls. */
export function isThrottled(failure: IbmFailure): boolean {
  return failure.status === 429 || hasCode(failure, "too_many_requests", "rate_limit_exceeded");
}

/** The account's quota is used up. IBM answers with status 400 and this text (fedora-copr issue 2829). */
export function isQuotaExceeded(failure: IbmFailure): boolean {
  return (
    hasCode(failure, "over_quota", "quota_exceeded") ||
    (failure.status < 500 && /over quota|exceed\w* .{0,40}quota|quota .{0,40}exceeded/i.test(failure.message))
  );
}

/** The subnet has no free address. */
export function isSubnetFull(failure: IbmFailure): boolean {
  return (
    hasCode(failure, "cannot_start_ip_address") ||
    /no (more )?(available|free) (ip )?address/i.test(failure.message)
  );
}

/** There is no room now: told at once, or as the reason of an instance that did not start (VPC API, InstanceStatusReason.code). */
export function isOutOfCapacity(failure: IbmFailure): boolean {
  if (failure.status === 401 || failure.status === 403) return false;
  return (
    hasCode(
      failure,
      "cannot_start_capacity",
      "cannot_start_reservation_capacity",
      "cannot_start_placement_group",
      "insufficient_capacity",
    ) || /insufficient capacity|not enough capacity|no capacity/i.test(failure.message)
  );
}

/** The dedicated host is disabled, full or not ready: another placement may be. */
export function isHostUnusable(failure: IbmFailure): boolean {
  return (
    (failure.status === 400 || failure.status === 409) &&
    /dedicated.?host/i.test(`${failure.code} ${failure.message}`) &&
    /disabled|not enabled|unavailable|not (in a )?(available|stable)|state/i.test(failure.message)
  );
}

/** The profile is not offered, or not any more. */
export function isProfileNotOffered(failure: IbmFailure): boolean {
  return (
    hasCode(failure, "instance_profile_not_found", "profile_not_found", "instance_profile_not_available") ||
    /profile .{0,80}(not (found|available|supported|offered)|does not exist|no longer)/i.test(failure.message)
  );
}

/** The image cannot be used with this profile, or not at all. */
export function isBadImage(failure: IbmFailure): boolean {
  return (
    hasCode(failure, "image_not_found", "image_id_invalid", "image_unavailable") ||
    (failure.status === 400 && /\bimage\b/i.test(failure.message))
  );
}

/** A confidential mode or secure boot that the profile does not have. */
export function isWrongConfidentialMode(failure: IbmFailure): boolean {
  return (
    failure.status === 400 &&
    /confidential_compute|secure_boot|secure boot/i.test(`${failure.code} ${failure.message}`)
  );
}

/** Another resource in the region has the name (`validation_unique_failed`: terraform-provider-ibm issue 5389). */
export function isNameTaken(failure: IbmFailure): boolean {
  return (
    hasCode(
      failure,
      "validation_unique_failed",
      "name_already_exists",
      "instance_name_in_use",
      "already_exists",
    ) ||
    ((failure.status === 400 || failure.status === 409) &&
      /already (exists|in use)|must be unique/i.test(failure.message))
  );
}

/** There is no such thing. */
export function isNotThere(failure: IbmFailure): boolean {
  return failure.status === 404 || failure.status === 410;
}

/** The resource is in a state in which this cannot be done now. */
export function isBusy(failure: IbmFailure): boolean {
  return failure.status === 409 && !isNameTaken(failure) && !isQuotaExceeded(failure);
}

/** The token is not accepted: expired, or its API key was deleted. A fresh one may be. */
export function isTokenRefused(failure: IbmFailure): boolean {
  return failure.status === 401;
}

/** Our identity lacks a role. */
export function isForbidden(failure: IbmFailure): boolean {
  return failure.status === 403 || hasCode(failure, "not_authorized");
}

/** An id in the body was empty or of the wrong kind (cloud-api-adaptor pull requests 1914 and 1915). */
export function isEmptyField(failure: IbmFailure): boolean {
  return hasCode(failure, "validation_failed_oneof");
}

/** The numbers of a quota refusal. */
export interface QuotaNumbers {
  readonly allocated: number;
  readonly quota: number;
}

/** Reads "Allocated to instances: 200 ... Quota: 200"; undefined when it is another text. */
export function quotaNumbers(message: string): QuotaNumbers | undefined {
  const number = (pattern: RegExp): number | undefined => {
    const digits = pattern.exec(message)?.[1];
    return digits === undefined ? undefined : Number(digits);
  };
  const allocated = number(/Allocated[^:]*:\s*(\d+)/i);
  const quota = number(/Quota:\s*(\d+)/i);
  return allocated === undefined || quota === undefined ? undefined : { allocated, quota };
}
