export { classifyError, type ErrorClass, errorFromStatus, parseRetryAfter } from "./classify.ts";
export { FreshList } from "./fresh-list.ts";
export { type RateLimit, RateLimiter } from "./rate-limiter.ts";
export { nextWaitMs, pause, type RetryDeps, type RetryPolicy, type RetryTask, retry } from "./retry.ts";
export { type PollSource, SharedPoll, type SharedPollOptions } from "./shared-poll.ts";
export { outcomeOfStatus, type TimedCall, timedCall } from "./timed-call.ts";
