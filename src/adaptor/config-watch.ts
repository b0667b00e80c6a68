import { isoTime, type KeyNote } from "../admin/index.ts";
import { describeError } from "../errors/index.ts";
import { type ClusterClient, CONFIG_MAPS, type ConfigMap, follow } from "../kubernetes/client/index.ts";
import type { Clock, Log } from "../platform/index.ts";
import type { ClusterSide } from "./cluster-side.ts";
import type { AdaptorConfig, ConfigReader, ConfigReading, MakeConfigReader } from "./config.ts";
import type { LiveSettings } from "./live-settings.ts";

/** The name of the ConfigMap that the adaptor's environment comes from. */
export const CONFIG_MAP = "peer-pods-cm";

export interface ConfigWatchDeps {
  readonly client: ClusterClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly namespace: string;
  readonly settings: LiveSettings;
  readonly reader: ConfigReader;
  /** Told of each new thing that a person must mend, once. */
  readonly onProblem: (text: string) => void;
}

/** Puts each version of the ConfigMap in force, until the signal aborts. Never rejects. */
export async function watchConfig(deps: ConfigWatchDeps, signal: AbortSignal): Promise<void> {
  const watch = new ConfigWatch(deps);
  await follow(
    deps,
    {
      resource: CONFIG_MAPS,
      query: { namespace: deps.namespace, fieldSelector: `metadata.name=${CONFIG_MAP}` },
    },
    {
      put: (configMap) => watch.put(configMap),
      removed: () => watch.removed(),
      trouble: (error) => watch.trouble(error === undefined ? null : describeError(error)),
    },
    signal,
  );
  await watch.settled();
}

/** What the watch is made of where it runs. */
export interface ConfigFollowDeps extends Omit<ConfigWatchDeps, "namespace" | "reader" | "onProblem"> {
  readonly config: AdaptorConfig;
  readonly cluster: Pick<ClusterSide, "explicitKeys" | "recordOwn">;
  readonly makeConfigReader: MakeConfigReader;
}

/** Watches the ConfigMap of this process's own namespace. Never rejects. */
export async function followConfigMap(deps: ConfigFollowDeps, signal: AbortSignal): Promise<void> {
  const { cluster, config, log } = deps;
  try {
    const reader = await deps.makeConfigReader(await cluster.explicitKeys(signal));
    const onProblem = (note: string): void =>
      cluster.recordOwn({ reason: "PeerPodConfiguration", action: "ReadConfigMap", note });
    await watchConfig({ ...deps, namespace: config.node.podNamespace, reader, onProblem }, signal);
  } catch (error) {
    if (signal.aborted) return;
    log.error("the ConfigMap is not watched; changes count when the adaptor is started again", {
      error: describeError(error),
    });
  }
}

class ConfigWatch {
  readonly #deps: ConfigWatchDeps;
  /** What was told already, so that a list that is read again says nothing twice. */
  #told: ReadonlySet<string> = new Set();
  #working: Promise<void> = Promise.resolve();
  #version = "";

  constructor(deps: ConfigWatchDeps) {
    this.#deps = deps;
    this.#say({ source: `ConfigMap ${deps.namespace}/${CONFIG_MAP}` });
  }

  put({ metadata, data = {} }: ConfigMap): void {
    if (metadata.resourceVersion === this.#version) return;
    this.#version = metadata.resourceVersion ?? "";
    this.#working = this.#working.then(() => this.#apply(data));
  }

  trouble(text: string | null): void {
    this.#say({ trouble: text });
    if (text === null) return;
    // What comes back is read anew.
    this.#version = "";
  }

  removed(): void {
    const text = `${CONFIG_MAP} was deleted; the values that were in force stay`;
    this.trouble(text);
    this.#deps.log.warn(text);
    this.#deps.onProblem(text);
  }

  async settled(): Promise<void> {
    await this.#working;
  }

  async #apply(data: Readonly<Record<string, string>>): Promise<void> {
    const { clock, log, settings, reader } = this.#deps;
    try {
      const before = reader.config.warnings;
      const reading = await settings.apply(reader, data);
      if (reading.changed.length > 0) {
        log.info("changed settings count from now on", { keys: reading.changed });
        this.#say({ changedAt: isoTime(clock.wallMs()) });
      }
      for (const warning of reading.config.warnings) if (!before.includes(warning)) log.warn(warning);
      this.#report(reading);
    } catch (error) {
      log.error("a change of the configuration could not be dealt with; the settings stay as they were", {
        error: describeError(error),
      });
    }
  }

  #report({ wrong, unknown, needRestart, overridden }: ConfigReading): void {
    this.#say({ trouble: null, wrong, unknown, needRestart, overridden });
    const texts = [
      ...lines("is wrong, and its old value stays in force", wrong),
      ...lines("is unknown", unknown),
      ...lines("has changed and", needRestart),
      ...lines("does not count", overridden),
    ];
    const fresh = texts.filter((text) => !this.#told.has(text));
    this.#told = new Set(texts);
    for (const text of fresh) {
      this.#deps.log.warn(text);
      this.#deps.onProblem(text);
    }
  }

  #say(news: Partial<LiveSettings["status"]>): void {
    const { settings } = this.#deps;
    settings.status = { ...settings.status, ...news };
  }
}

const lines = (says: string, notes: readonly KeyNote[]): readonly string[] =>
  notes.map(({ key, text }) => `${CONFIG_MAP}: ${key} ${says}: ${text}`);
