export { scaledClock } from "./scaled-clock.ts";
export { ClockView, VirtualClock } from "./virtual-clock.ts";
