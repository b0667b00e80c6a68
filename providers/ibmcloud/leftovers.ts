import { type CaaError, unavailable } from "../../src/errors/index.ts";
import { OwnerTag } from "../contract.ts";
import { classifyError, pause } from "../retry/index.ts";
import { type IbmDeps, translator } from "./deps.ts";
import { companionNames } from "./instance-body.ts";
import { hasTag, readTags } from "./tags.ts";

/** A boot volume or network interface that was made along with a VM. */
interface Companion {
  readonly kind: "volume" | "network interface";
  readonly id: string;
  readonly name: string;
}

/** How long what a VM leaves behind is waited for and fought for. */
const FIGHT_MS = 300_000;
const ROUND_PAUSE_MS = 5000;

/**
 * IBM deletes boot volume and interfaces with the instance, and takes some seconds for it. What a look shows is deleted here.
 * Resolves when a look shows none. Throws `unavailable` when something resists for five minutes.
 */
export async function removeLeftovers(deps: IbmDeps, vmName: string, signal: AbortSignal): Promise<void> {
  const untilMs = deps.clock.monotonicMs() + FIGHT_MS;
  for (;;) {
    const left = await findLeftovers(deps, vmName, signal);
    if (left.length === 0) return;
    const problems = (await Promise.all(left.map((one) => removeOne(deps, one, signal)))).filter(
      (problem) => problem !== undefined,
    );
    if (deps.clock.monotonicMs() >= untilMs) {
      const names = left.map((one) => `${one.kind} ${one.name}`).join(", ");
      throw unavailable(`VM ${vmName} is gone, but not ${names}: try again`, { cause: problems[0] });
    }
    await pause(deps.clock, ROUND_PAUSE_MS, signal);
  }
}

/** By exact name: the names come from the VM's, which has the sandbox's id in it. A volume of another cluster is not touched. */
async function findLeftovers(
  deps: IbmDeps,
  vmName: string,
  signal: AbortSignal,
): Promise<readonly Companion[]> {
  const names = companionNames(vmName);
  const translate = translator(deps, signal);
  try {
    const [volumes, vnis] = await Promise.all([
      Array.fromAsync(deps.api.volumes({ name: names.volume }, signal)),
      deps.fleet.vnis.get(signal),
    ]);
    const { clusterId } = deps.owner;
    const ours = volumes.filter((volume) => {
      const tags = readTags(volume.user_tags);
      const foreign =
        clusterId !== "" &&
        tags[OwnerTag.Cluster] !== undefined &&
        !hasTag(tags, OwnerTag.Cluster, clusterId);
      return volume.name === names.volume && !foreign;
    });
    return [
      ...ours.map(({ id, name }): Companion => ({ kind: "volume", id, name })),
      ...vnis
        .filter(({ name }) => names.vnis.includes(name))
        .map(({ id, name }): Companion => ({ kind: "network interface", id, name })),
    ];
  } catch (error) {
    throw translate(error, `look for what is left of VM ${vmName}`);
  }
}

/** What may be better in the next round is returned, what will not is thrown. */
async function removeOne(
  deps: IbmDeps,
  companion: Companion,
  signal: AbortSignal,
): Promise<CaaError | undefined> {
  try {
    if (companion.kind === "volume") await deps.api.deleteVolume(companion.id, signal);
    else await deps.api.deleteVni(companion.id, signal);
    deps.log.info("deleted what a VM left behind", { step: "delete", name: companion.name });
    return undefined;
  } catch (error) {
    const failed = translator(deps, signal)(error, `delete ${companion.kind} ${companion.name}`);
    if (failed.kind === "gone") return undefined;
    // While it hangs on the instance that is going, IBM refuses with 400 or 409.
    if (classifyError(failed) === "retry" || failed.kind === "invalid-request") return failed;
    throw failed;
  }
}
