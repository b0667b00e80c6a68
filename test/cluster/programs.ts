import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { systemExec } from "../../src/platform/index.ts";

/** Programs that are built here from the modules that go/go.mod names, by their packages. */
const PACKAGES = {
  etcd: "go.etcd.io/etcd/server/v3",
  "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
  "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
  "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
  "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
  kubelet: "k8s.io/kubernetes/cmd/kubelet",
  kubectl: "k8s.io/kubernetes/cmd/kubectl",
  helm: "helm.sh/helm/v3/cmd/helm",
} as const;

export type Program = keyof typeof PACKAGES;

// An object literal's own keys are its type's.
export const ALL_PROGRAMS: readonly Program[] = Object.keys(PACKAGES) as Program[];

/** What a control plane is made of. */
export const CONTROL_PLANE = ["etcd", "kube-apiserver", "kube-controller-manager"] as const;

/** Paths of programs, or why one of them cannot be had, as the reason of a skipped test. */
export type Built<Names extends Program> =
  | { readonly paths: Readonly<Record<Names, string>> }
  | { readonly missing: string };

const MODULE: string = join(import.meta.dirname, "go");
const PROGRESS_EVERY_MS = 20_000;
/** Where Go lies when it is not on PATH. */
const USUAL_GO = "/usr/local/go/bin";

/** Folder of what is built once per user, outside of any checkout. */
export const cacheDir = (): string =>
  join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "peerpods-test");

const say = (text: string): void => {
  process.stderr.write(`cluster: ${text}\n`);
};

/** The first executable of this name in folders; "" stands for none. */
export function find(file: string, folders: readonly string[]): string | undefined {
  return folders
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, file))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** The first executable of this name on PATH, then in more folders. */
export const onPath = (file: string, ...more: readonly string[]): string | undefined =>
  find(file, [...(process.env["PATH"] ?? "").split(delimiter), ...more]);

/** A reason may not hold brackets: it stands in brackets in the name of a test. */
const reason = (text: string): { readonly missing: string } => ({ missing: text.replaceAll(/[()]/g, "") });

function requiredVersion(module: string): string {
  const found = new RegExp(`^\\s*${module} (v\\S+)`, "m").exec(readFileSync(join(MODULE, "go.mod"), "utf8"));
  return found?.[1] ?? "";
}

/** Version of Kubernetes that is built, like v1.34.4. */
export const KUBERNETES_VERSION: string = requiredVersion("k8s.io/kubernetes");

const buildFlags = (): readonly string[] => {
  const version = `-X k8s.io/component-base/version.gitVersion=${KUBERNETES_VERSION}`;
  return ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", `-s -w ${version}`];
};

/** One folder for each set of sources, Go version and platform. */
async function folderOf(go: string): Promise<string> {
  const { stdout } = await systemExec.run([go, "env", "GOVERSION", "GOOS", "GOARCH"]);
  const hash = createHash("sha256");
  for (const file of ["go.mod", "go.sum"]) hash.update(readFileSync(join(MODULE, file)));
  hash.update(buildFlags().join(" "));
  const parts = [KUBERNETES_VERSION, ...stdout.trim().split("\n"), hash.digest("hex").slice(0, 8)];
  return join(cacheDir(), `kubernetes-${parts.join("-")}`);
}

/** Runs a build, telling now and then how far it is. Resolves to "" or what went wrong. */
async function build(go: string, program: Program, folder: string): Promise<string> {
  // One builder at a time; the file is placed whole, so that who finds it may use it.
  const script = 'test -x "$0" || { "$@" && mv "$0.new" "$0"; }';
  const path = join(folder, program);
  const command = [go, "build", "-v", ...buildFlags(), "-o", `${path}.new`, PACKAGES[program]];
  const argv = ["-n", "10", "flock", join(folder, "lock"), "sh", "-c", script, path, ...command];
  const child = spawn("nice", argv, {
    cwd: MODULE,
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, CGO_ENABLED: "0" },
  });
  const lines: string[] = [];
  createInterface(child.stderr).on("line", (line) => lines.push(line));
  const started = performance.now();
  const timer = setInterval(() => {
    const seconds = Math.round((performance.now() - started) / 1000);
    say(
      `building ${program}, for ${seconds} s now: ${lines.length} packages, last ${lines.at(-1) ?? "none"}`,
    );
  }, PROGRESS_EVERY_MS);
  const status = await new Promise<number>((resolve) => {
    child.on("error", () => resolve(127));
    child.on("close", (code) => resolve(code ?? 128));
  });
  clearInterval(timer);
  if (status === 0) return "";
  const problem = lines.find((line) => /error|cannot|no such|requires|not found|dial|lookup/i.test(line));
  return problem ?? lines.at(-1) ?? `exit status ${status}`;
}

/**
 * Builds programs of Kubernetes and Helm, unless they are in the cache already. With a cold cache the first takes ten minutes
 * of two processors, each further one a minute or two. Never throws: what cannot be built is `missing`, with the reason.
 */
export async function buildPrograms<Names extends Program>(names: readonly Names[]): Promise<Built<Names>> {
  const go = onPath("go", USUAL_GO);
  if (go === undefined) return reason("needs Go");
  const folder = await folderOf(go);
  mkdirSync(folder, { recursive: true });
  const paths: Partial<Record<Program, string>> = {};
  for (const name of names) {
    const path = join(folder, name);
    if (!existsSync(path)) {
      say(`building ${name} into ${folder}, once`);
      const problem = await build(go, name, folder);
      if (problem !== "") return reason(`needs ${name}, which cannot be built: ${problem}`);
    }
    paths[name] = path;
  }
  // Every name has been given its path above.
  return { paths: paths as Record<Names, string> };
}
