import * as v from "valibot";
import { isCaaError } from "../../errors/index.ts";
import type { Clock } from "../../platform/index.ts";
import {
  type ApiObject,
  type ClusterClient,
  hasEnded,
  METADATA,
  PEER_POD_FINALIZER,
  PEER_PODS,
  type PeerPod,
  PODS,
  type Resource,
} from "../client/index.ts";

export interface UninstallDeps {
  readonly client: ClusterClient;
  readonly clock: Clock;
}

const DAEMON_SETS: Resource<ApiObject> = {
  group: "apps",
  version: "v1",
  kind: "DaemonSet",
  plural: "daemonsets",
  namespaced: true,
  schema: v.looseObject({ metadata: METADATA }),
};

/** As the chart names it, and its pods. */
const ADAPTORS = { name: "cloud-api-adaptor-daemonset", labelSelector: "app=cloud-api-adaptor" };
const LOOK_EVERY_MS = 2000;
const MAX_ROUNDS = 5;

const placeOf = ({ metadata }: ApiObject): string => `${metadata.namespace ?? ""}/${metadata.name}`;

/** Pods of the runtime class that have a node and have not ended, as `namespace/name`. */
export async function runningPeerPods(
  client: ClusterClient,
  runtimeClass: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { items } = await client.list(PODS, {}, signal);
  return items
    .filter(({ spec }) => spec.runtimeClassName === runtimeClass && (spec.nodeName ?? "") !== "")
    .filter((pod) => !hasEnded(pod))
    .map(placeOf)
    .sort();
}

/**
 * Deletes the adaptors' DaemonSet and waits until its pods are gone, so that nothing makes VMs any more. Resolves to the nodes whose
 * adaptor was still there after `limitMs`: a node that is unreachable ends nothing.
 */
export async function stopAdaptors(
  { client, clock }: UninstallDeps,
  { namespace, limitMs }: { readonly namespace: string; readonly limitMs: number },
  signal: AbortSignal,
): Promise<readonly string[]> {
  const daemonSet = { name: ADAPTORS.name, namespace };
  await client.delete(DAEMON_SETS, daemonSet, { propagationPolicy: "Background" }, signal);
  const endMs = clock.monotonicMs() + limitMs;
  for (;;) {
    const { items } = await client.list(PODS, { namespace, labelSelector: ADAPTORS.labelSelector }, signal);
    if (items.length === 0) return [];
    if (clock.monotonicMs() >= endMs) return items.map(({ spec }) => spec.nodeName ?? "(no node)").sort();
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
}

/**
 * Deletes every PeerPod, with our finalizer and no other removed: for when their VMs are gone. Resolves to those that others' finalizers
 * keep, as `namespace/name`.
 */
export async function removePeerPods(client: ClusterClient, signal: AbortSignal): Promise<readonly string[]> {
  let left = await listPeerPods(client, signal);
  // The controller works on them too: what it has changed in between is looked at again.
  for (let round = 0; round < MAX_ROUNDS && left.some(isOurs); round++) {
    for (const peerPod of left.filter(isOurs)) await removePeerPod(client, peerPod, signal);
    left = await listPeerPods(client, signal);
  }
  return left.map(placeOf).sort();
}

const isOurs = ({ metadata }: PeerPod): boolean =>
  metadata.deletionTimestamp === undefined || (metadata.finalizers ?? []).includes(PEER_POD_FINALIZER);

async function removePeerPod(client: ClusterClient, peerPod: PeerPod, signal: AbortSignal): Promise<void> {
  const { name, namespace, finalizers = [] } = peerPod.metadata;
  const ref = { name, namespace };
  await client.delete(PEER_PODS, ref, {}, signal);
  const at = finalizers.indexOf(PEER_POD_FINALIZER);
  if (at < 0) return;
  const path = `/metadata/finalizers/${at}`;
  const operations = [
    { op: "test", path, value: PEER_POD_FINALIZER },
    { op: "remove", path },
  ] as const;
  try {
    await client.patch(PEER_PODS, ref, { type: "json", operations }, signal);
  } catch (error) {
    // Gone, or the list was changed.
    if (!isCaaError(error, "not-found") && !isCaaError(error, "invalid-request")) throw error;
  }
}

async function listPeerPods(client: ClusterClient, signal: AbortSignal): Promise<readonly PeerPod[]> {
  try {
    return (await client.list(PEER_PODS, {}, signal)).items;
  } catch (error) {
    // The CRD is gone, and with it every object.
    if (isCaaError(error, "not-found")) return [];
    throw error;
  }
}
