import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeInitdata } from "../../src/user-data/index.ts";
import { FakeApi, type FakeApiServer, serveFakeApi } from "../fakes/kubernetes/index.ts";
import { Child } from "../node/child.ts";
import { documentMarks, keyMarks, type Marks, shownMarks } from "../secrets/marks.ts";
import { argumentWitness, askSocket, tellingFiles } from "../secrets/witness.ts";
import type { PlayedPod } from "../shim/played-pod.ts";
import { type Case, must, rejection } from "./case.ts";
import type { Stage, StageOptions } from "./stage.ts";

const INITDATA_KEY = "io.katacontainers.config.hypervisor.cc_init_data";
const NODE = "node-1";
const canary = (name: string): string => `canary-${name}-${randomBytes(12).toString("base64url")}`;

/** What an operator, a pod's owner and the clouds give us, recognisable. */
const GIVEN = {
  clientSecret: canary("client-secret"),
  wrongSecret: canary("wrong-secret"),
  apiKey: canary("api-key"),
  registryPassword: canary("registry-password"),
  kubeToken: canary("kube-token"),
  keyFile: canary("key-file"),
  proxyPassword: canary("proxy-password"),
};

/** Tokens of the fakes, and the header that carries any. */
const TOKENS: readonly [string, string][] = [
  ["a token of Azure", "fake-token-"],
  ["a token of IBM Cloud", "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9"],
  ["an Authorization header", "Bearer "],
];

/** All that came out of the node's processes, by where it came out, and what must not be in it. */
class Evidence {
  readonly #texts = new Map<string, string>();
  readonly #marks = new Map<string, string>([...Object.entries(GIVEN), ...TOKENS]);

  get marks(): Marks {
    return this.#marks;
  }

  add(where: string, text: string): void {
    this.#texts.set(where, `${this.#texts.get(where) ?? ""}\n${text}`);
  }

  forbid(marks: readonly (readonly [string, string])[]): void {
    for (const [name, mark] of marks) this.#marks.set(name, mark);
  }

  judge(): void {
    must(this.#texts.size > 0, "nothing came out at all");
    const shown = [...this.#texts].flatMap(([where, text]) =>
      shownMarks(text, this.#marks).map((mark) => `${where} shows ${mark}`),
    );
    must(shown.length === 0, () => shown.slice(0, 20).join("\n"));
  }
}

/** The keys and the user data of a pod that was just created; after its start they are gone. */
function marksOf(stage: Stage, pod: PlayedPod): [string, string][] {
  const [row] = stage.journal(`SELECT client_key_pem, user_data FROM sandboxes WHERE id = '${pod.id}'`);
  const userData = String(row?.["user_data"]);
  const clientKey = String(row?.["client_key_pem"]);
  must(
    userData.includes("tls-server-key") && clientKey.includes("PRIVATE KEY"),
    "no keys are in the journal",
  );
  must(userData.includes("auth.json"), "the pull secrets are not in the user data");
  const secretPart = userData.slice(userData.indexOf("tls-server-key"), userData.indexOf("tls-server-cert"));
  const serverKey = secretPart.replaceAll("\\n", "\n");
  return [
    ...keyMarks("the client's key", clientKey),
    ...keyMarks("the server's key", serverKey),
    ...documentMarks("user data", secretPart),
  ];
}

/** A cluster with the pods that are played, each with a pull secret. */
async function startCluster(): Promise<{ readonly api: FakeApi; readonly server: FakeApiServer }> {
  const api = new FakeApi();
  api.put("namespaces", { metadata: { name: "kube-system" } });
  api.put("nodes", { metadata: { name: NODE }, status: { capacity: {} } });
  const auth = Buffer.from(`robot:${GIVEN.registryPassword}`).toString("base64");
  const config = JSON.stringify({ auths: { "registry.example": { auth } } });
  api.put("secrets", {
    metadata: { name: "pull", namespace: "resilience" },
    type: "kubernetes.io/dockerconfigjson",
    data: { ".dockerconfigjson": Buffer.from(config).toString("base64") },
  });
  for (const name of ["pod-1", "pod-2", "pod-3"]) {
    api.put("pods", {
      metadata: { name, namespace: "resilience" },
      spec: { imagePullSecrets: [{ name: "pull" }], containers: [{ image: "registry.example/x" }] },
    });
  }
  return { api, server: await serveFakeApi(api, GIVEN.kubeToken) };
}

/** Everything that one may ask of a running adaptor. */
async function askEverything(stage: Stage, evidence: Evidence, pod: PlayedPod): Promise<void> {
  const admin = join(stage.node.runDir, "admin.sock");
  const { namespace, name } = pod.pod;
  const paths = ["/status", `/inspect?pod=${namespace}/${name}`, "/metrics", "/ready", "/live", "/log-level"];
  for (const path of paths) evidence.add(`GET ${path}`, await askSocket(admin, path));
  const where = [`-run-dir=${stage.node.runDir}`];
  await runCommand(stage, evidence, ["journal", "show", `-state-dir=${stage.node.stateDir}`]);
  await runCommand(stage, evidence, ["status", ...where]);
  await runCommand(stage, evidence, ["inspect", `${namespace}/${name}`, ...where]);
}

/** A command that must succeed. */
async function runCommand(stage: Stage, evidence: Evidence, args: readonly string[]): Promise<void> {
  const name = args.slice(0, 2).join(" ");
  const child = new Child(name, join(stage.node.dir, `output of ${name.replaceAll("/", " ")}`), args);
  await child.exited;
  must(child.process.exitCode === 0, () => `${name} ended with ${child.process.exitCode}: ${child.log()}`);
  evidence.add(name, child.log());
}

/** No file that others may read holds a secret, nor any other than the journal and the machine room's disks. */
function checkFiles(stage: Stage, evidence: Evidence): void {
  const dirs = [stage.node.runDir, stage.node.stateDir, join(stage.node.dir, "log")];
  for (const file of dirs.flatMap((dir) => tellingFiles(dir, evidence.marks))) {
    must(!file.others, () => `others may read ${file.path}, which holds ${file.marks[0]}`);
    must(/\/journal\.db(-wal)?$/.test(file.path), () => `${file.path} holds ${file.marks[0]}`);
  }
}

/** A pod that the cloud refuses with all that it was sent, one that lives, and one that is refused for the credentials. */
async function throughEveryPath(stage: Stage, wrong: Readonly<Record<string, string>>): Promise<void> {
  const evidence = new Evidence();
  const witness = argumentWitness(stage.node.dir);
  const { api, server } = await startCluster();
  await using cluster = server;
  const env = { PATH: witness.path, NODE_NAME: NODE, PEERPODS_KUBECONFIG: cluster.kubeconfigFile };
  const control = stage.control([], env);
  const toml = `algorithm = "sha256"\nversion = "0.1.0"\n[data]\n"aa.toml" = "${canary("initdata")}"\n`;
  const annotations = { [INITDATA_KEY]: encodeInitdata(toml) };
  // Initdata is no secret, so whoever may read the journal may see it; in the log it is of no use.
  const initdata = encodeInitdata(toml).slice(-40);

  const refused = stage.newPod().pod;
  await refused.create(annotations);
  evidence.forbid(marksOf(stage, refused));
  evidence.add("the answer to StartVM", String(await rejection(refused.start())));
  await askEverything(stage, evidence, refused);
  await refused.stop();

  const { pod } = stage.newPod();
  await pod.create(annotations);
  evidence.forbid(marksOf(stage, pod));
  checkFiles(stage, evidence);
  await pod.start();
  await pod.openSandbox();
  await askEverything(stage, evidence, pod);
  checkFiles(stage, evidence);
  await pod.stop();

  await control.kill("SIGTERM");
  const locked = stage.control(["-cloud-config-verify=true"], { ...env, ...wrong });
  await locked.exited;
  const written = ["events.events.k8s.io", "peerpods.confidentialcontainers.org", "nodes"];
  for (const resource of written) evidence.add(resource, JSON.stringify(api.all(resource)));
  must(api.all("events.events.k8s.io").length > 0, "no Event was written");
  evidence.add("arguments of commands", witness.arguments());
  for (const child of stage.node.children) evidence.add(`the log of ${child.name}`, child.log());
  evidence.judge();
  must(!stage.node.children.some((child) => child.log().includes(initdata)), "initdata is in a log");
  const left = tellingFiles(stage.node.stateDir, evidence.marks);
  must(left.length === 0, () => `the journal still holds ${left[0]?.marks[0]}`);
}

const cloudCase = (cloud: string, stage: StageOptions, wrong: Readonly<Record<string, string>>): Case => ({
  name: `no secret comes out on any path with ${cloud}: refusals that quote the request, status, logs at debug, arguments, files`,
  stage,
  run: (at) => throughEveryPath(at, wrong),
});

const AZURE = cloudCase(
  "Azure",
  { provider: "azure", fakeCloudFlags: ["--client-secret", GIVEN.clientSecret, "--echo-creates", "1"] },
  { AZURE_CLIENT_SECRET: GIVEN.wrongSecret },
);

const IBMCLOUD = cloudCase(
  "IBM Cloud",
  { provider: "ibmcloud", fakeCloudFlags: ["--api-key", GIVEN.apiKey, "--echo-creates", "1"] },
  { IBMCLOUD_API_KEY: GIVEN.wrongSecret },
);

const FILES_AND_PROXIES: Case = {
  name: "neither a key file that cannot be used nor a proxy's password is quoted",
  stage: { provider: "azure", fakeCloudFlags: ["--client-secret", GIVEN.clientSecret] },
  async run(stage) {
    const evidence = new Evidence();
    const key = join(stage.node.dir, "tls.key");
    writeFileSync(key, `-----BEGIN PRIVATE KEY-----\n${GIVEN.keyFile}\n-----END PRIVATE KEY-----\n`, {
      mode: 0o600,
    });
    const control = stage.control([`-ca-cert-file=${key}`, `-cert-file=${key}`, `-cert-key=${key}`]);
    evidence.add("the answer to CreateVM", String(await rejection(stage.newPod().pod.create())));
    // What a control plane leaves is the next one's, and the one that follows here ends before it owns the node.
    await stage.journalHas("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM sandboxes)");
    await control.kill("SIGTERM");
    const proxy = `http://robot:${GIVEN.proxyPassword}@127.0.0.1:9`;
    const behind = stage.control(["-cloud-config-verify=true"], { HTTPS_PROXY: proxy, https_proxy: proxy });
    await behind.exited;
    must(/verify/.test(behind.log()), "verify said nothing");
    evidence.add("the log of the adaptor", readFileSync(behind.logPath, "utf8"));
    evidence.judge();
  },
};

/** That no secret comes out, tried with real processes and marked secrets. */
export const SECRET_CASES: readonly Case[] = [AZURE, IBMCLOUD, FILES_AND_PROXIES];
