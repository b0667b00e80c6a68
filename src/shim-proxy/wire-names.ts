import { LinkState_State, OwedStop_Reason } from "../gen/shimproxy/control.ts";
import type { LinkStateName, OwedStopReason } from "./control-types.ts";

const LINK_STATES_ON_THE_WIRE: Readonly<Record<LinkStateName, LinkState_State>> = {
  dialing: LinkState_State.STATE_DIALING,
  up: LinkState_State.STATE_UP,
  down: LinkState_State.STATE_DOWN,
  lost: LinkState_State.STATE_LOST,
};

/** The wire's number of a link state. */
export const encodeLinkState = (state: LinkStateName): LinkState_State => LINK_STATES_ON_THE_WIRE[state];

/** The link state of a number; one that we do not know (a newer proxy's) counts as down: not up, not given up. */
export function decodeLinkState(state: LinkState_State): LinkStateName {
  switch (state) {
    case LinkState_State.STATE_DIALING:
      return "dialing";
    case LinkState_State.STATE_UP:
      return "up";
    case LinkState_State.STATE_LOST:
      return "lost";
    default:
      return "down";
  }
}

/** The wire's number of a reason. */
export const encodeStopReason = (reason: OwedStopReason): OwedStop_Reason =>
  reason === "poison" ? OwedStop_Reason.REASON_POISON : OwedStop_Reason.REASON_CALLER;

/** The reason of a number. */
export const decodeStopReason = (reason: OwedStop_Reason): OwedStopReason =>
  reason === OwedStop_Reason.REASON_POISON ? "poison" : "caller";
