import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CHART, type Helm, type HelmResult, RELEASE, type Values } from "../chart/helm.ts";
import { type Manifest, readManifests } from "../chart/manifests.ts";
import type { Cluster } from "./cluster.ts";

/** A release of the chart on a real API server, made by the real Helm. */
export class InstalledChart {
  readonly namespace: string;
  readonly #helm: Helm;
  readonly #cluster: Cluster;
  #values: Values;

  constructor(
    helm: Helm,
    cluster: Cluster,
    release: { readonly namespace: string; readonly values: Values },
  ) {
    this.#helm = helm;
    this.#cluster = cluster;
    this.namespace = release.namespace;
    this.#values = release.values;
  }

  /** Installs, or upgrades; `values` take the place of those with their names. Throws what Helm complains of. */
  async apply(values: Values = {}): Promise<void> {
    this.#values = { ...this.#values, ...values };
    const file = join(this.#cluster.dir, "chart-values.json");
    await writeFile(file, JSON.stringify(this.#values), { mode: 0o600 });
    await this.run("upgrade", "--install", RELEASE, CHART, "--values", file);
  }

  /** What Helm prints. Throws what it complains of. */
  async run(...args: readonly string[]): Promise<string> {
    const { ok, stdout, stderr } = await this.tryTo(...args);
    if (!ok) throw new Error(`helm ${args[0]}: ${stderr.trim()}`);
    return stdout;
  }

  async tryTo(...args: readonly string[]): Promise<HelmResult> {
    const env = { KUBECONFIG: this.#cluster.kubeconfigFile };
    return await this.#helm.run([...args, "--namespace", this.namespace], { env });
  }

  async objects(): Promise<readonly Manifest[]> {
    return readManifests(await this.run("get", "manifest", RELEASE)).objects;
  }

  async hooks(): Promise<readonly Manifest[]> {
    return readManifests(await this.run("get", "hooks", RELEASE)).objects;
  }
}
