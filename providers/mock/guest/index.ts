export { BUSYBOX_PATH, type ImageContents, makeOciLayout } from "./make-image.ts";
export { FORWARDER_PORT } from "./settings.ts";
