export { ClockView, VirtualClock } from "./virtual-clock.ts";
