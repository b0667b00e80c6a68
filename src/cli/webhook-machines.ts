import { applySizing, azureSgxSize, type SizingPolicy, selectSize } from "../../providers/selection/index.ts";
import { invalidRequest } from "../errors/index.ts";
import type { WebhookPolicy } from "../kubernetes/webhook/index.ts";

/** What the adaptor's own variables allow pods to have. */
export interface MachineOptions {
  readonly defaultSize: string;
  /** Empty: the default only. */
  readonly sizes: readonly string[];
  /** The variable that holds them. */
  readonly key: string;
}

/** Machine types that a pod may name, by the rule of the providers: the default counts only when there is no list. */
export function allowedMachineTypes(options: MachineOptions): WebhookPolicy["allowedMachineTypes"] {
  const names =
    options.sizes.length > 0 ? options.sizes : [options.defaultSize].filter((name) => name !== "");
  return names.length === 0 ? undefined : { names, key: options.key };
}

/**
 * Chooses among Azure's allowed SGX sizes. It knows them by name, because the webhook has no credentials to ask Azure with; so the
 * adaptor may still find that a size is not to be had in its region.
 */
export function azureEnclaveMachine(
  options: MachineOptions,
  sizing: SizingPolicy,
): NonNullable<WebhookPolicy["chooseEnclaveMachine"]> {
  const allowed = options.sizes.length > 0 ? options.sizes : [options.defaultSize];
  const offered = allowed.map(azureSgxSize).filter((size) => size !== undefined);
  return (request) => {
    if (offered.length === 0) {
      throw invalidRequest(
        `none of the allowed sizes (${allowed.join(", ")}) has SGX memory: have one such as Standard_DC2s_v3 added to ${options.key}`,
      );
    }
    const rules = { offered, allowed, defaultSize: options.defaultSize, allowedKey: options.key };
    // The adaptor leaves a named machine type as it is, so its own share must be in the choice.
    return selectSize(rules, { ...applySizing(sizing, request) }).name;
  };
}
