import type { Provider } from "../../providers/contract.ts";
import type { Journal } from "../journal/index.ts";
import { type AdaptorMetrics, MetricsServer } from "../observe/index.ts";
import type { Clock, Live, Log } from "../platform/index.ts";
import type { ProxySession, SandboxConfig } from "../sandbox/index.ts";
import type { AdaptorConfig } from "./config.ts";

interface Measured {
  readonly config: AdaptorConfig;
  readonly sandboxConfig: Live<SandboxConfig>;
  readonly provider: Provider;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: AdaptorMetrics;
}

/** From now on metrics tell of this term, and are served on their address if there is one. Gives what ends that. */
export function measureTerm(
  term: Measured,
  parts: { readonly epoch: number; readonly journal: Journal; readonly session: ProxySession },
): () => Promise<void> {
  const { clock, log, metrics, provider, config } = term;
  const { epoch, journal, session } = parts;
  const disown = metrics.own({
    epoch,
    limit: () => term.sandboxConfig.current().limit,
    journal: () => journal.counts(),
    proxy: async () => ({ attached: session.proxy !== undefined, counts: await countsOf(session, term) }),
    quota: provider.quota && ((signal) => quotaOf(provider, signal)),
  });
  const address = config.metricsAddress;
  const server = address && MetricsServer.start({ clock, log, render: () => metrics.render() }, address);
  return async () => {
    disown();
    await server?.close();
  };
}

/** A proxy that does not answer, or is older than the call, has no counts. */
async function countsOf(session: ProxySession, { clock }: Measured) {
  try {
    return await session.stats(clock.timeout(STATS_TIMEOUT_MS));
  } catch {
    // Whether it is attached is told anyway, and its session says why it is not.
    return undefined;
  }
}

const STATS_TIMEOUT_MS = 2000;

const quotaOf = async (provider: Provider, signal: AbortSignal): Promise<number | undefined> =>
  await provider.quota?.(signal);
