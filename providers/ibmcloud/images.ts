import { invalidConfig, invalidRequest } from "../../src/errors/index.ts";
import type { Clock, Log } from "../../src/platform/index.ts";
import { type IbmApi, type Image, isAbsent, toCaaError, untilAborted } from "./api/index.ts";

/** An image, as far as choosing one needs. */
export interface IbmImage {
  readonly id: string;
  readonly name: string;
  /** `amd64`, `s390x`. */
  readonly architecture: string;
  readonly osName: string;
  readonly status: string;
  readonly userDataFormat: string;
  /** Where a partially available one can be used. */
  readonly zones: readonly string[];
  /** `unknown`: neither the operator nor its name says. */
  readonly secureExecution: "yes" | "no" | "unknown";
}

/** What the image is for. */
export interface ImageWish {
  /** "" for any. */
  readonly architecture: string;
  /** The profile starts Secure Execution images only; undefined when there is no profile to go by. */
  readonly secureExecution?: boolean;
  /** "" when not known. */
  readonly zone: string;
}

/** Why an image cannot be used for that; undefined when it can. */
export function imageProblem(image: IbmImage, wish: ImageWish): string | undefined {
  if (/hyper-protect/.test(image.osName)) {
    return "is IBM's Hyper Protect Container Runtime, which takes a contract and no cloud-config";
  }
  if (wish.architecture !== "" && image.architecture !== wish.architecture) {
    return `is for ${image.architecture || "an unknown architecture"}, and the profile is ${wish.architecture}`;
  }
  if (wish.secureExecution === true && image.secureExecution === "no") {
    return "is no Secure Execution image, and the profile starts no other (IBMCLOUD_SE_IMAGE_IDS)";
  }
  if (wish.secureExecution === false && image.secureExecution === "yes") {
    return "is a Secure Execution image, which only bz2e, cz2e and mz2e profiles start";
  }
  if (image.userDataFormat !== "" && image.userDataFormat !== "cloud_init") {
    return `takes user data as ${image.userDataFormat}, not cloud_init`;
  }
  const usable =
    ["", "available", "deprecated"].includes(image.status) ||
    (image.status === "partially_available" && image.zones.includes(wish.zone));
  return usable ? undefined : `is ${image.status}`;
}

/** The first configured image that fits. Throws `invalid-config` with the reason for each that does not. */
export function chooseImage(images: readonly IbmImage[], wish: ImageWish): IbmImage {
  const problems: string[] = [];
  for (const image of images) {
    const problem = imageProblem(image, wish);
    if (problem === undefined) return image;
    problems.push(`${image.id} ${problem}`);
  }
  throw invalidConfig(
    `no image of IBMCLOUD_PODVM_IMAGE_ID can be used: ${problems.join("; ") || "none of them exists"}`,
  );
}

/** How long an image's description is good. */
const FRESH_MS = 10 * 60_000;

interface Held {
  readonly image: Promise<IbmImage | undefined>;
  readonly untilMs: number;
}

/** The images, read when first needed. */
export class ImageCatalogue {
  readonly #api: IbmApi;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #ids: readonly string[];
  readonly #seIds: readonly string[];
  readonly #held = new Map<string, Held>();

  constructor(
    api: IbmApi,
    env: { readonly clock: Clock; readonly log: Log },
    ids: { readonly all: readonly string[]; readonly secureExecution: readonly string[] },
  ) {
    this.#api = api;
    this.#clock = env.clock;
    this.#log = env.log;
    this.#ids = ids.all;
    this.#seIds = ids.secureExecution;
  }

  /** The configured images that exist, in order. */
  async configured(signal: AbortSignal): Promise<readonly IbmImage[]> {
    const found = await Promise.all(this.#ids.map((id) => this.#get(id, signal)));
    return found.filter((image) => image !== undefined);
  }

  /** The image that a pod names, if it fits. Throws `invalid-request` when it does not exist or fit. */
  async named(id: string, wish: ImageWish, signal: AbortSignal): Promise<IbmImage> {
    const image = await this.#get(id, signal);
    const problem = image ? imageProblem(image, wish) : "does not exist, or is not shared with this account";
    if (!image || problem !== undefined) {
      throw invalidRequest(`image ${id} ${problem}: correct the pod's annotation, or leave it out`);
    }
    return image;
  }

  async #get(id: string, signal: AbortSignal): Promise<IbmImage | undefined> {
    const nowMs = this.#clock.monotonicMs();
    const held = this.#held.get(id);
    if (held && held.untilMs > nowMs) return await untilAborted(held.image, signal);
    const image = this.#fetch(id);
    this.#held.set(id, { image, untilMs: nowMs + FRESH_MS });
    // Only what was found is kept.
    const forget = (): void => void this.#held.delete(id);
    image.then((found) => found ?? forget(), forget);
    return await untilAborted(image, signal);
  }

  async #fetch(id: string): Promise<IbmImage | undefined> {
    try {
      // Others may wait for the same answer: it is nobody's to cancel.
      return readImage(await this.#api.image(id, new AbortController().signal), this.#seIds);
    } catch (error) {
      const nowMs = this.#clock.wallMs();
      if (!isAbsent(error, nowMs)) throw toCaaError(error, { what: `read image ${id}`, nowMs });
      this.#log.warn("an image does not exist and is left out", { step: "image", image: id });
      return undefined;
    }
  }
}

/** Nothing in IBM's description says what an image was built for: the operator's list does, else its name may. */
export function readImage(image: Image, seIds: readonly string[]): IbmImage {
  const byName = /(^|-)(se|secex|secure-execution)(-|$)/.test(image.name) ? "yes" : "unknown";
  return {
    id: image.id,
    name: image.name,
    architecture: image.operating_system?.architecture ?? "",
    osName: image.operating_system?.name ?? "",
    status: image.status,
    userDataFormat: image.user_data_format,
    zones: (image.zones ?? []).map(({ name }) => name),
    secureExecution: seIds.length > 0 ? (seIds.includes(image.id) ? "yes" : "no") : byName,
  };
}
