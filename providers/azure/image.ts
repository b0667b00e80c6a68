import { invalidRequest } from "../../src/errors/index.ts";
import { parseArmId } from "./arm/index.ts";

/** The part of ARM's ImageReference that we send: exactly one way to name an image. */
export type ImageChoice =
  | { readonly id: string }
  | { readonly communityGalleryImageId: string }
  | { readonly sharedGalleryImageId: string }
  | { readonly publisher: string; readonly offer: string; readonly sku: string; readonly version: string };

const GALLERY = /^\/(Community|Shared)Galleries\/[^/]+\/Images\/[^/]+(\/Versions\/[^/]+)?$/i;
const FORMS =
  "/subscriptions/.../galleries/<g>/images/<i>[/versions/<v>], /subscriptions/.../Microsoft.Compute/images/<n>, " +
  "/CommunityGalleries/<g>/Images/<i>[/Versions/<v>], /SharedGalleries/<g>/Images/<i>[/Versions/<v>], or publisher:offer:sku:version";

/** Which field of the request the configured or annotated image text belongs in. Throws `invalid-request` for any other form. */
export function chooseImage(text: string): ImageChoice {
  const image = text.trim();
  const gallery = GALLERY.exec(image);
  if (gallery) {
    return gallery[1]?.toLowerCase() === "community"
      ? { communityGalleryImageId: image }
      : { sharedGalleryImageId: image };
  }
  const type = parseArmId(image)?.type.toLowerCase();
  if (type === "microsoft.compute/galleries" || type === "microsoft.compute/images") return { id: image };
  const [publisher = "", offer = "", sku = "", version = "", ...more] = image.split(":");
  if (publisher && offer && sku && version && more.length === 0 && !image.includes("/")) {
    return { publisher, offer, sku, version };
  }
  throw invalidRequest(`image ${JSON.stringify(image)} is none of the forms that Azure takes: ${FORMS}`);
}

/** Why the text names no image; undefined when it does. */
export function imageProblem(text: string): string | undefined {
  try {
    chooseImage(text);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
