import { access, constants } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { ApiError, type CreateRequest } from "./api.ts";

export interface ImageSource {
  readonly defaultImage: string;
  /** "" when there is none. */
  readonly imagesDir: string;
}

const SCRIPT = /\.m?[jt]s$/;

/** The command of an image. Throws ApiError `invalid` when there is no such executable. */
export async function resolveImage(
  source: ImageSource,
  image: CreateRequest["image"],
): Promise<readonly [string, ...string[]]> {
  const path = imagePath(source, image);
  const script = SCRIPT.test(path);
  try {
    await access(path, script ? constants.R_OK : constants.X_OK);
  } catch {
    throw new ApiError("invalid", `image ${path} is not there or cannot be executed`);
  }
  return script ? [process.execPath, "--disable-warning=ExperimentalWarning", path] : [path];
}

function imagePath(source: ImageSource, image: CreateRequest["image"]): string {
  if (image === undefined) return source.defaultImage;
  if ("path" in image) {
    if (isAbsolute(image.path)) return image.path;
    throw new ApiError("invalid", `image path ${image.path} is not absolute`);
  }
  // A name comes from a pod: it must not lead out of the folder.
  if (!/^[\w][\w.-]{0,127}$/.test(image.name))
    throw new ApiError(
      "invalid",
      `image name ${JSON.stringify(image.name)} is not made of letters, digits, . _ -`,
    );
  if (source.imagesDir === "")
    throw new ApiError("invalid", `image ${image.name} is unknown: the machine room has no -images-dir`);
  return join(source.imagesDir, image.name);
}
