import { type CaaError, unavailable } from "../../src/errors/index.ts";
import { OwnerTag } from "../contract.ts";
import { classifyError, nextWaitMs, pause, type RetryPolicy } from "../retry/index.ts";
import { type IbmDeps, translator } from "./deps.ts";
import { companionNames } from "./instance-body.ts";
import { hasTag, readTags } from "./tags.ts";

/** A boot volume or network interface that was made along with a VM. */
interface Companion {
  readonly kind: "volume" | "network interface";
  readonly id: string;
  readonly name: string;
  /** Hangs on an instance, perhaps on one that is going. */
  readonly attached: boolean;
}

/** How long what a VM leaves behind is waited for and fought for, and the time between looks: longer each time. */
const FIGHT_MS = 300_000;
const LOOK_AGAIN: RetryPolicy = { tries: 0, baseMs: 5000, capMs: 30_000, budgetMs: FIGHT_MS };

/**
 * IBM deletes boot volume and interfaces with the instance, and takes some seconds for it. What hangs on no instance any more
 * is deleted here. Resolves when a look shows nothing. Throws `unavailable` when something resists for five minutes.
 */
export async function removeLeftovers(deps: IbmDeps, vmName: string, signal: AbortSignal): Promise<void> {
  const untilMs = deps.clock.monotonicMs() + FIGHT_MS;
  for (let round = 1; ; round++) {
    const left = await findLeftovers(deps, vmName, signal);
    if (left.length === 0) return;
    const free = left.filter((one) => !one.attached);
    if (free.length < left.length) await refuseLiving(deps, vmName, signal);
    const problems = await Promise.all(free.map((one) => removeOne(deps, one, signal)));
    if (deps.clock.monotonicMs() >= untilMs) {
      const names = left.map((one) => `${one.kind} ${one.name}`).join(", ");
      const cause = problems.find((problem) => problem !== undefined);
      throw unavailable(`VM ${vmName} is gone, but not ${names}: try again`, { cause });
    }
    // No jitter: only one caller waits for this.
    await pause(deps.clock, nextWaitMs(LOOK_AGAIN, round, { askedMs: undefined, random: () => 1 }), signal);
  }
}

/** What hangs on an instance says that it may be there in spite of all: then the delete has to begin again. */
async function refuseLiving(deps: IbmDeps, vmName: string, signal: AbortSignal): Promise<void> {
  if ((await deps.fleet.named(vmName, signal)).length === 0) return;
  throw unavailable(`VM ${vmName} is still there after its delete`);
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
      ...ours.map(
        ({ id, name, volume_attachments: on }): Companion => ({
          kind: "volume",
          id,
          name,
          attached: on.length > 0,
        }),
      ),
      ...vnis
        .filter(({ name }) => names.vnis.includes(name))
        .map(
          ({ id, name, target }): Companion => ({
            kind: "network interface",
            id,
            name,
            attached: target !== undefined,
          }),
        ),
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
