import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemExec } from "../../src/platform/index.ts";
import { buildPrograms } from "../cluster/programs.ts";
import { type Manifests, readManifests } from "./manifests.ts";

export const CHART: string = join(import.meta.dirname, "..", "..", "deploy", "chart");
export const RELEASE = "peerpods";
export const NAMESPACE = "confidential-containers-system";

/** Values of a release, as they stand in a values file. */
export type Values = Readonly<Record<string, unknown>>;

export interface HelmResult {
  readonly ok: boolean;
  readonly stdout: string;
  /** What it complained of. */
  readonly stderr: string;
}

/** A Helm built from its Go module knows no Kubernetes but a very old one. */
const KUBERNETES = ["--kube-version", "1.34.0"] as const;

/** The real Helm: HELM names one, else it is built from its Go module. */
export async function findHelm(): Promise<{ readonly path: string } | { readonly missing: string }> {
  const given = process.env["HELM"] ?? "";
  if (given !== "")
    return existsSync(given) ? { path: given } : { missing: `HELM is ${given}, which is not there` };
  const built = await buildPrograms(["helm"]);
  return "missing" in built ? built : { path: built.paths.helm };
}

/** Helm with folders of its own, so that no plugin, cache or repository of the user takes part. */
export class Helm {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async run(
    args: readonly string[],
    options: { readonly env?: Readonly<Record<string, string>>; readonly input?: string } = {},
  ): Promise<HelmResult> {
    const home = await mkdtemp(join(tmpdir(), "peerpods-helm-"));
    try {
      const env = {
        HELM_CACHE_HOME: join(home, "cache"),
        HELM_CONFIG_HOME: join(home, "config"),
        HELM_DATA_HOME: join(home, "data"),
        ...options.env,
      };
      const { code, stdout, stderr } = await systemExec.run([this.#path, ...args], {
        env,
        ...(options.input === undefined ? {} : { input: options.input }),
      });
      return { ok: code === 0, stdout, stderr };
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  }

  /** What `helm template` says of these values. */
  async template(values: Values, ...more: readonly string[]): Promise<HelmResult> {
    return await this.#withValues(values, (file) =>
      this.run([
        "template",
        RELEASE,
        CHART,
        "--namespace",
        NAMESPACE,
        ...KUBERNETES,
        "--values",
        file,
        ...more,
      ]),
    );
  }

  /** The objects that a release with these values has. Throws what Helm complained of. */
  async render(values: Values, ...more: readonly string[]): Promise<Manifests> {
    const { ok, stdout, stderr } = await this.template(values, ...more);
    if (!ok) throw new Error(`helm template: ${stderr.trim()}`);
    return readManifests(stdout);
  }

  async lint(valuesFile: string): Promise<HelmResult> {
    return await this.run([
      "lint",
      CHART,
      "--strict",
      ...KUBERNETES,
      "--namespace",
      NAMESPACE,
      "--values",
      valuesFile,
    ]);
  }

  async #withValues<T>(values: Values, use: (file: string) => Promise<T>): Promise<T> {
    const dir = await mkdtemp(join(tmpdir(), "peerpods-values-"));
    try {
      const file = join(dir, "values.yaml");
      // JSON is YAML in which `yes` and `y` are texts.
      await writeFile(file, JSON.stringify(values), { mode: 0o600 });
      return await use(file);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }
}
