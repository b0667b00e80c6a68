import { describeError } from "../errors/index.ts";
import type { SandboxDeps } from "./ports.ts";
import { linkTarget } from "./start.ts";

/** How often the operator's certificate files are looked at. */
const LOOK_INTERVAL_MS = 60_000;

/**
 * Where the operator's own files are used: gives the shim-proxy what they hold at once (they may have changed while no control
 * plane ran) and whenever they change, for the links' next dial. Living links stay. Runs until aborted.
 */
export async function refreshCredentialsForever(deps: SandboxDeps, signal: AbortSignal): Promise<void> {
  const { clock, config, log } = deps;
  const { tls } = config.current();
  if (tls.mode !== "files") return;
  let given = "";
  for (;;) {
    try {
      const { caPem, clientCertPem, clientKeyPem } = await tls.load();
      const now = [caPem, clientCertPem, clientKeyPem.reveal()].join("\n");
      if (now !== given) await putAll(deps, signal);
      given = now;
    } catch (error) {
      signal.throwIfAborted();
      log.warn("the certificate files cannot be used; links keep what they have", {
        error: describeError(error),
      });
    }
    await clock.sleep(LOOK_INTERVAL_MS, signal);
  }
}

/** A link that is down takes its time; it must not keep the others from theirs. */
async function putAll(deps: SandboxDeps, signal: AbortSignal): Promise<void> {
  const running = deps.journal.sandboxes().filter((sandbox) => sandbox.phase === "running");
  await Promise.all(
    running.map(async (sandbox) => {
      try {
        const addresses = deps.journal.vmOf(sandbox.id)?.addresses ?? [];
        await deps.proxy.putLink(await linkTarget(deps, sandbox, addresses), signal);
      } catch (error) {
        signal.throwIfAborted();
        deps.log.warn("a link could not be given the new certificates", {
          sandboxId: sandbox.id,
          error: describeError(error),
        });
      }
    }),
  );
}
