import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { CHART, findHelm, Helm, NAMESPACE } from "./helm.ts";
import { type Manifests, readManifests } from "./manifests.ts";

const found = await findHelm();
const suffix = "missing" in found ? ` (${found.missing})` : "";
const helm = new Helm("path" in found ? found.path : "");

const WITH_KATA = join(CHART, "..", "chart-with-kata");

/** Shows the values that it was given. */
const STAND_IN = {
  "Chart.yaml": "apiVersion: v2\nname: kata-deploy\nversion: 4.1.0\n",
  "templates/shown.yaml": `apiVersion: v1
kind: ConfigMap
metadata:
  name: kata-deploy
  namespace: {{ .Release.Namespace }}
data:
  values: {{ .Values | toJson | quote }}
`,
};

/** The chart with a stand-in for kata-deploy, which is in a registry. */
async function render(...sets: readonly string[]): Promise<Manifests> {
  const dir = await mkdtemp(join(tmpdir(), "peerpods-with-kata-"));
  try {
    await cp(WITH_KATA, dir, { recursive: true });
    await cp(CHART, join(dir, "charts", "peerpods"), { recursive: true });
    await mkdir(join(dir, "charts", "kata-deploy", "templates"), { recursive: true });
    for (const [file, text] of Object.entries(STAND_IN))
      await writeFile(join(dir, "charts", "kata-deploy", file), text);
    const flags = sets.flatMap((set) => ["--set", set]);
    const args = [
      "template",
      "peerpods",
      dir,
      "--namespace",
      NAMESPACE,
      "--kube-version",
      "1.34.0",
      ...flags,
    ];
    const { ok, stdout, stderr } = await helm.run(args);
    if (!ok) throw new Error(stderr);
    return readManifests(stdout);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

const KataValues = v.object({
  snapshotter: v.object({ setup: v.array(v.string()) }),
  shims: v.object({ disableAll: v.literal(true), remote: v.looseObject({ enabled: v.literal(true) }) }),
});

describe.skipIf("missing" in found)(`the chart with kata-deploy${suffix}`, () => {
  test("kata-deploy installs the remote shim alone, and owns the runtime class", async () => {
    const rendered = await render("peerpods.provider=azure");
    const kata = v.parse(KataValues, parse(rendered.data("ConfigMap", "kata-deploy")["values"] ?? ""));
    expect(kata.snapshotter.setup).toEqual(["nydus"]);
    expect(rendered.ofKind("RuntimeClass")).toEqual([]);
    expect(rendered.template("DaemonSet", "cloud-api-adaptor-daemonset").spec.hostNetwork).toBe(true);
  });

  test("without kata-deploy it is the chart alone", async () => {
    const rendered = await render(
      "peerpods.provider=azure",
      "kata-deploy.enabled=false",
      "peerpods.runtimeClass.create=true",
    );
    expect(rendered.find("ConfigMap", "kata-deploy")).toBeUndefined();
    expect(rendered.ofKind("RuntimeClass")).toHaveLength(1);
  });
});
