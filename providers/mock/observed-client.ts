import type { Clock } from "../../src/platform/index.ts";
import type { CloudCall, CloudCallOutcome } from "../contract.ts";
import { timedCall } from "../retry/index.ts";
import { ApiError, type MockCloudClient } from "./mock-cloud/index.ts";

const OUTCOMES: Readonly<Record<ApiError["kind"], CloudCallOutcome>> = {
  invalid: "refused",
  unauthorised: "unauthorised",
  quota: "refused",
  "not-found": "not-found",
  "already-exists": "conflict",
  "wrong-state": "conflict",
  throttled: "throttled",
  internal: "unavailable",
  unsupported: "refused",
  unavailable: "unavailable",
  capacity: "refused",
};

function outcomeOf(error: unknown, signal: AbortSignal): CloudCallOutcome {
  if (error instanceof ApiError) return OUTCOMES[error.kind];
  return signal.aborted ? "cancelled" : "unavailable";
}

/** The client, with every call that the provider makes told to `onCall`. */
export function observedClient(
  client: MockCloudClient,
  clock: Clock,
  onCall: ((call: CloudCall) => void) | undefined,
): MockCloudClient {
  if (onCall === undefined) return client;
  /** Operations that the machine room could not do the last time: the next call of the same repeats it. */
  const toRepeat = new Set<string>();
  const told = <T>(operation: string, signal: AbortSignal, call: () => Promise<T>): Promise<T> =>
    timedCall({ clock, onCall, operation, repeated: toRepeat.delete(operation) }, call, (end) => {
      const outcome = "value" in end ? "ok" : outcomeOf(end.error, signal);
      if (outcome === "throttled" || outcome === "unavailable") toRepeat.add(operation);
      return outcome;
    });
  return {
    ...client,
    status: (signal) => told("status.get", signal, () => client.status(signal)),
    create: (body, signal) => told("vms.create", signal, () => client.create(body, signal)),
    get: (id, signal) => told("vms.get", signal, () => client.get(id, signal)),
    list: (query, signal) => told("vms.list", signal, () => client.list(query, signal)),
    delete: (id, signal) => told("vms.delete", signal, () => client.delete(id, signal)),
    console: (id, signal) => told("vms.console", signal, () => client.console(id, signal)),
    setUserData: (id, userData, signal) =>
      told("vms.setUserData", signal, () => client.setUserData(id, userData, signal)),
    quota: (signal) => told("quota.get", signal, () => client.quota(signal)),
  };
}
