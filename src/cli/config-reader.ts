import type { OptionSpec, ProviderModule } from "../../providers/contract.ts";
import {
  type AdaptorConfig,
  blame,
  type ConfigNote,
  type ConfigReader,
  type ConfigReading,
} from "../adaptor/index.ts";
import { describeError } from "../errors/index.ts";
import { adaptorOptionGroups, flatten, readAdaptorConfig, type Surroundings } from "./config.ts";
import { knownKeys } from "./known-keys.ts";
import { isNear } from "./near.ts";
import { readOptions } from "./options.ts";

/** Common settings that a provider is made from, beside its own. */
const PROVIDER_KEYS: readonly string[] = ["POD_VM_SIZING"];

const RESTART = "counts when the adaptor is started again";
const BY_FLAG = "a flag of the adaptor's command line gives it";
const BY_CONTAINER =
  "the adaptor's container sets it itself, or was started with another value; if the ConfigMap was changed since, start the adaptor again";

type Env = Readonly<Record<string, string | undefined>>;

interface ConfigReaderOptions {
  readonly module: Pick<ProviderModule, "name" | "options">;
  readonly surroundings: Surroundings;
  /** The configuration that is in force. */
  readonly config: AdaptorConfig;
  /** Every variable that any part of this program reads. */
  readonly knownKeys: ReadonlySet<string>;
  /** Variables that the container sets by itself, which go before the ConfigMap's; undefined: not known. */
  readonly explicitKeys: ReadonlySet<string> | undefined;
}

/** Reads the ConfigMap of an adaptor that is in force as `config`. */
export function configReader(options: Omit<ConfigReaderOptions, "knownKeys">): ConfigReader {
  return new EnvConfigReader({ ...options, knownKeys: knownKeys(options.module) });
}

interface Notes {
  readonly wrong: ConfigNote[];
  readonly needRestart: ConfigNote[];
  readonly overridden: ConfigNote[];
}

/**
 * The ConfigMap's keys are the environment of a start (envFrom), so a change of one is read as if this process had been started with
 * it, key by key: one that is wrong keeps no other from counting.
 */
class EnvConfigReader implements ConfigReader {
  readonly #options: ConfigReaderOptions;
  readonly #specs: readonly OptionSpec[];
  readonly #providerKeys: ReadonlySet<string>;
  /** What counts of each variable. */
  #env: Env;
  #config: AdaptorConfig;
  /** Variables that are not the ConfigMap's, though it has them; decided when it is first seen. */
  #own: ReadonlySet<string> | undefined;
  /** Variables that the ConfigMap has, or had. */
  readonly #given = new Set<string>();
  readonly #readings = new WeakMap<ConfigReading, Env>();

  constructor(options: ConfigReaderOptions) {
    this.#options = options;
    this.#specs = flatten(adaptorOptionGroups(options.module));
    const own = options.module.options.flatMap(({ env }) => env ?? []);
    this.#providerKeys = new Set([...own, ...PROVIDER_KEYS]);
    this.#env = options.surroundings.env;
    this.#config = options.config;
  }

  read(
    data: Readonly<Record<string, string>>,
    refused: ReadonlyMap<string, string> = new Map(),
  ): ConfigReading {
    this.#own ??= this.#firstLook(data);
    for (const key of Object.keys(data)) if (!this.#own.has(key)) this.#given.add(key);
    const notes: Notes = { wrong: [], needRestart: [], overridden: [] };
    const env: Record<string, string | undefined> = { ...this.#env };
    const changed: string[] = [];
    for (const spec of this.#specs) {
      if (spec.env === undefined || !this.#counts(spec, spec.env, { data, refused, notes })) continue;
      env[spec.env] = this.#wanted(spec.env, data);
      changed.push(spec.env);
    }
    const whole = changed.length === 0 ? this.#config : this.#readWhole(env);
    if (typeof whole === "string") return this.read(data, new Map([...refused, ...blame(whole, changed)]));
    const reading: ConfigReading = {
      ...notes,
      config: whole,
      changed,
      ofProvider: changed.filter((key) => this.#providerKeys.has(key)),
      unknown: this.#unknown(data),
    };
    this.#readings.set(reading, env);
    return reading;
  }

  get config(): AdaptorConfig {
    return this.#config;
  }

  accept(reading: ConfigReading): void {
    this.#env = this.#readings.get(reading) ?? this.#env;
    this.#config = reading.config;
  }

  /** Which keys are the container's own. Kubernetes lets its `env` go before `envFrom`. */
  #firstLook(data: Readonly<Record<string, string>>): ReadonlySet<string> {
    const { explicitKeys, surroundings } = this.#options;
    if (explicitKeys !== undefined) return explicitKeys;
    // A guess: what this process was started with and the ConfigMap does not have now.
    const started = Object.entries(surroundings.env).filter(([, value = ""]) => value !== "");
    return new Set(started.filter(([key, value]) => value !== data[key]).map(([key]) => key));
  }

  /** What the variable would be; "" is unset. */
  #wanted(key: string, data: Readonly<Record<string, string>>): string {
    if (this.#own?.has(key)) return this.#env[key] ?? "";
    if (Object.hasOwn(data, key)) return data[key] ?? "";
    // Taken out of the ConfigMap: the default. Never in it: a Secret's, or the container's.
    return this.#given.has(key) ? "" : (this.#env[key] ?? "");
  }

  /** Whether the key has a new value that can be put in force; says why if it cannot. */
  #counts(
    spec: OptionSpec,
    key: string,
    about: {
      readonly data: Readonly<Record<string, string>>;
      readonly refused: ReadonlyMap<string, string>;
      readonly notes: Notes;
    },
  ): boolean {
    const { data, refused, notes } = about;
    const now = this.#env[key] ?? "";
    if (this.#own?.has(key) && Object.hasOwn(data, key) && data[key] !== now) {
      notes.overridden.push({ key, text: BY_CONTAINER });
      return false;
    }
    const wanted = this.#wanted(key, data);
    if (wanted === now) return false;
    if (this.#isGivenByFlag(spec)) {
      notes.overridden.push({ key, text: BY_FLAG });
      return false;
    }
    const why = refused.get(key) ?? this.#problem(spec, key, wanted);
    if (why !== undefined) {
      notes.wrong.push({ key, text: why });
      return false;
    }
    if (spec.live && !spec.secret) return true;
    notes.needRestart.push({ key, text: RESTART });
    return false;
  }

  /** As in readOptions: a flag goes before the variable; in a list it is added, unless it is empty. */
  #isGivenByFlag(spec: OptionSpec): boolean {
    const flags = this.#options.surroundings.flags.get(spec.flag) ?? [];
    return spec.kind === "list" || spec.kind === "tags" ? flags.includes("") : flags.length > 0;
  }

  #problem(spec: OptionSpec, key: string, wanted: string): string | undefined {
    const { flags } = this.#options.surroundings;
    const { problems } = readOptions([spec], { flags, env: { [key]: wanted } });
    return problems.length === 0 ? undefined : problems.join("; ");
  }

  /** Why the values do not go together, if they do not. */
  #readWhole(env: Env): AdaptorConfig | string {
    const { module, surroundings } = this.#options;
    try {
      return readAdaptorConfig(module, { ...surroundings, env });
    } catch (error) {
      return describeError(error);
    }
  }

  #unknown(data: Readonly<Record<string, string>>): readonly ConfigNote[] {
    const { knownKeys, module } = this.#options;
    const known = [...knownKeys];
    return Object.keys(data)
      .filter((key) => !knownKeys.has(key))
      .map((key) => {
        const near = known.find((candidate) => isNear(candidate, key.toUpperCase()));
        const hint = near === undefined ? "" : `; did you mean ${near}?`;
        return { key, text: `is no setting of provider ${module.name} or of this program${hint}` };
      });
  }
}
