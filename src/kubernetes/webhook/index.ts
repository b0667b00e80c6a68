export { mutatePod, type Verdict } from "./mutate.ts";
export {
  BAD_ANNOTATION_POLICIES,
  INIT_POLICIES,
  type MachineRequest,
  UNKNOWN_RESOURCE_POLICIES,
  type WebhookPolicy,
} from "./policy.ts";
export { parseQuantity } from "./quantity.ts";
export { answerReview } from "./review.ts";
