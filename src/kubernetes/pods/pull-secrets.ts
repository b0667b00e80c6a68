import { describeError, isCaaError } from "../../errors/index.ts";
import { type Clock, type Log, Secret } from "../../platform/index.ts";
import type { PodRef, PullSecrets } from "../../sandbox/index.ts";
import { type ClusterClient, PODS, type Pod, SECRETS, SERVICE_ACCOUNTS } from "../client/index.ts";
import { type Auths, mergeAuths, readPullSecret } from "./merge-pull-secrets.ts";
import type { PodEvents } from "./pod-events.ts";

export interface PullSecretsDeps {
  readonly client: ClusterClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: Pick<PodEvents, "record">;
  /** Most bytes of auth.json in a pod VM. */
  readonly limitBytes: number;
}

/** How long a pod's start waits for its pull secrets; then it goes on without. */
const PATIENCE_MS = 15_000;
const PAUSE_MS = 1000;
const MAX_SECRETS = 32;

interface Found {
  readonly auths: readonly Auths[];
  readonly images: readonly string[];
  /** One sentence each, with the secret's name and nothing of its content. */
  readonly problems: readonly string[];
}

/**
 * Pull secrets of the service account, then of the pod, merged as the Go adaptor merges them, with these differences: a secret that
 * cannot be used is left out alone and told by name; one that is too large for the VM is not dropped silently.
 */
export function pullSecrets(deps: PullSecretsDeps): PullSecrets {
  return {
    async authJson(ref, signal) {
      const patience = AbortSignal.any([signal, deps.clock.timeout(PATIENCE_MS)]);
      try {
        const found = await withPatience(deps.clock, patience, () => find(deps, ref, patience));
        return found && merge(deps, ref, found);
      } catch (error) {
        signal.throwIfAborted();
        report(deps, ref, [
          `the pod's image pull secrets could not be read, it starts without: ${patience.aborted ? `no answer within ${PATIENCE_MS / 1000} s` : describeError(error)}`,
        ]);
        return undefined;
      }
    },
  };
}

/** Again while the API server cannot be reached. */
async function withPatience<T>(clock: Clock, signal: AbortSignal, read: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await read();
    } catch (error) {
      if (!isCaaError(error, "unavailable", "throttled")) throw error;
      await clock.sleep(Math.max(PAUSE_MS, error.retryAfterMs ?? 0), signal);
    }
  }
}

/** undefined: the pod is gone, and another may have its name. */
async function find(deps: PullSecretsDeps, ref: PodRef, signal: AbortSignal): Promise<Found | undefined> {
  const namespace = ref.podNamespace;
  const pod = await deps.client.find(PODS, { name: ref.podName, namespace }, signal);
  if (pod === undefined || (ref.podUid !== undefined && pod.metadata.uid !== ref.podUid)) return undefined;
  const account = pod.spec.serviceAccountName ?? "default";
  const problems: string[] = [];
  const ofAccount = await namesOfAccount(deps, { name: account, namespace }, { problems, signal });
  // A name's last place counts: later secrets win per registry.
  const names = [...new Set([...ofAccount, ...namesIn(pod.spec.imagePullSecrets)].reverse())].reverse();
  if (names.length > MAX_SECRETS)
    problems.push(`only the last ${MAX_SECRETS} of ${names.length} pull secrets are used`);
  const read = await Promise.all(
    names.slice(-MAX_SECRETS).map((name) => readOne(deps, { name, namespace }, { problems, signal })),
  );
  return { auths: read.filter((auths) => auths !== undefined), images: imagesOf(pod), problems };
}

interface Reading {
  readonly problems: string[];
  readonly signal: AbortSignal;
}

const namesIn = (list: readonly { readonly name?: string | undefined }[] | undefined): readonly string[] =>
  (list ?? []).map(({ name }) => name ?? "").filter((name) => name !== "");

/** Without the right to read service accounts, those of the pod still count. */
async function namesOfAccount(
  deps: PullSecretsDeps,
  ref: { readonly name: string; readonly namespace: string },
  { problems, signal }: Reading,
): Promise<readonly string[]> {
  try {
    return namesIn((await deps.client.find(SERVICE_ACCOUNTS, ref, signal))?.imagePullSecrets);
  } catch (error) {
    if (!isCaaError(error, "unauthorised")) throw error;
    problems.push(`service account ${ref.name} cannot be read: ${describeError(error)}`);
    return [];
  }
}

async function readOne(
  deps: PullSecretsDeps,
  ref: { readonly name: string; readonly namespace: string },
  { problems, signal }: Reading,
): Promise<Auths | undefined> {
  try {
    const secret = await deps.client.find(SECRETS, ref, signal);
    // The kubelet does without those that are missing, too.
    const read = secret === undefined ? { problem: "does not exist" } : readPullSecret(secret);
    if ("auths" in read) return read.auths;
    problems.push(`pull secret ${ref.name} ${read.problem}`);
  } catch (error) {
    if (!isCaaError(error, "unauthorised")) throw error;
    problems.push(`pull secret ${ref.name} cannot be read: ${describeError(error)}`);
  }
  return undefined;
}

const imagesOf = ({ spec }: Pod): readonly string[] =>
  [...(spec.initContainers ?? []), ...(spec.containers ?? [])].flatMap(({ image }) => image ?? []);

function merge(deps: PullSecretsDeps, ref: PodRef, { auths, images, problems }: Found): Secret | undefined {
  const { json, leftOut } = mergeAuths(auths, images, deps.limitBytes);
  const tooMany =
    leftOut.length === 0
      ? []
      : [
          `the pod's pull secrets are over the ${deps.limitBytes} bytes that a pod VM takes; registries of none of its images are left out: ${leftOut.join(", ")}`,
        ];
  report(deps, ref, [...problems, ...tooMany]);
  return json === undefined ? undefined : new Secret(json);
}

function report(deps: PullSecretsDeps, ref: PodRef, problems: readonly string[]): void {
  for (const note of problems) {
    deps.log.warn(note, { sandboxId: ref.sandboxId, pod: `${ref.podNamespace}/${ref.podName}` });
    deps.events.record({
      pod: { namespace: ref.podNamespace, name: ref.podName, uid: ref.podUid ?? "" },
      type: "Warning",
      reason: "PeerPodPullSecret",
      action: "CreatePodVM",
      note,
    });
  }
}
