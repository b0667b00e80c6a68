import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KubeConfig } from "@kubernetes/client-node";
import { until } from "../real/service.ts";
import { ClusterApi } from "./cluster-api.ts";
import { kubeconfigText } from "./kubeconfig.ts";

export interface ClusterPrograms {
  readonly etcd: string;
  readonly "kube-apiserver": string;
  readonly "kube-controller-manager"?: string;
}

interface ClusterOptions {
  /** Loops of kube-controller-manager that run; all of them but those that need a node when not given. */
  readonly controllers?: readonly string[];
  /** Where its folder is made. */
  readonly parentDir?: string;
  /** Address on which the API is served. */
  readonly address?: string;
  /** Further arguments; they win over ours. */
  readonly apiServerArgs?: readonly string[];
  readonly controllerManagerArgs?: readonly string[];
}

/** Nodes whose kubelets' users are known; Node objects are made by those who need them. */
export const NODE_NAMES = ["worker-1", "worker-2"] as const;

const START_TIMEOUT_MS = 120_000;
/** Another process may take a free port before the API server does. */
const PORT_ATTEMPTS = 5;
/** Loops that a control plane without nodes can do with. */
const CONTROLLERS = [
  "garbage-collector-controller",
  "namespace-controller",
  "resourcequota-controller",
  "root-ca-certificate-publisher-controller",
  "serviceaccount-controller",
  "endpointslice-controller",
  "deployment-controller",
  "replicaset-controller",
  "daemonset-controller",
  "job-controller",
  "validatingadmissionpolicy-status-controller",
];

async function freePort(address: string): Promise<number> {
  const server = createServer();
  server.listen(0, address);
  await once(server, "listening");
  const bound = server.address();
  server.close();
  await once(server, "close");
  return typeof bound === "object" && bound !== null ? bound.port : 0;
}

/** Processes of a control plane, their folder, and a guard that ends and removes all if this process dies. */
class Processes implements AsyncDisposable {
  readonly dir: string;
  readonly #guard: ChildProcess;
  readonly #running: ChildProcess[] = [];

  private constructor(dir: string) {
    this.dir = dir;
    const script = join(import.meta.dirname, "guard.sh");
    this.#guard = spawn("/bin/sh", [script, dir], { detached: true, stdio: ["pipe", "ignore", "ignore"] });
    this.#guard.unref();
  }

  static async in(parentDir: string): Promise<Processes> {
    const processes = new Processes(await mkdtemp(join(parentDir, "peerpods-cluster-")));
    await mkdir(join(processes.dir, "log"));
    return processes;
  }

  logFile(name: string): string {
    return join(this.dir, "log", name);
  }

  start(name: string, argv: readonly [string, ...string[]]): ChildProcess {
    const log = openSync(this.logFile(name), "a");
    const [file, ...args] = argv;
    const child = spawn(file, args, { cwd: this.dir, stdio: ["ignore", log, log] });
    closeSync(log);
    child.on("error", () => undefined); // Seen by `alive`.
    if (child.pid !== undefined) this.#guard.stdin?.write(`${child.pid}\n`);
    this.#running.push(child);
    return child;
  }

  /** The last lines that a process has written. */
  tail(name: string): string {
    const file = this.logFile(name);
    return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").slice(-15).join("\n") : "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#running.reverse()) await end(child);
    const gone = once(this.#guard, "exit");
    this.#guard.stdin?.end();
    await gone;
    await rm(this.dir, { recursive: true, force: true });
  }
}

const alive = (child: ChildProcess): boolean =>
  child.pid !== undefined && child.exitCode === null && child.signalCode === null;

async function end(child: ChildProcess): Promise<void> {
  if (!alive(child)) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

/** Status and body of a GET, 0 when there is no answer. */
function get(url: string, token: string, caFile: string): Promise<{ status: number; body: string }> {
  if (!existsSync(caFile)) return Promise.resolve({ status: 0, body: "" });
  const { promise, resolve } = Promise.withResolvers<{ status: number; body: string }>();
  const options = { ca: readFileSync(caFile), headers: { authorization: `Bearer ${token}` }, agent: false };
  const outgoing = request(url, options, (answer) => {
    let body = "";
    answer.setEncoding("utf8").on("data", (chunk: string) => {
      body += chunk;
    });
    answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body }));
  });
  outgoing.on("error", () => resolve({ status: 0, body: "" }));
  outgoing.end();
  return promise;
}

interface Keys {
  readonly privateKey: string;
  readonly publicKey: string;
  /** Who has which static token. */
  readonly tokensFile: string;
  readonly adminToken: string;
  readonly nodeTokens: ReadonlyMap<string, string>;
  readonly auditPolicy: string;
}

/** Keys for service accounts, the administrator's token, and a policy to record who asked for what. */
async function writeKeys(dir: string): Promise<Keys> {
  const file = (name: string): string => join(dir, name);
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const newToken = (): string => randomBytes(24).toString("hex");
  const nodeTokens = new Map(NODE_NAMES.map((name) => [name, newToken()]));
  const keys: Keys = {
    privateKey: file("service-accounts.key"),
    publicKey: file("service-accounts.pub"),
    tokensFile: file("tokens.csv"),
    adminToken: newToken(),
    nodeTokens,
    auditPolicy: file("audit-policy.json"),
  };
  const secret = { mode: 0o600 };
  await writeFile(keys.privateKey, pair.privateKey.export({ type: "pkcs8", format: "pem" }), secret);
  await writeFile(keys.publicKey, pair.publicKey.export({ type: "spki", format: "pem" }));
  const nodes = [...nodeTokens].map(([name, token]) => `${token},system:node:${name},${name},system:nodes`);
  const tokens = [`${keys.adminToken},admin,admin,system:masters`, ...nodes];
  await writeFile(keys.tokensFile, `${tokens.join("\n")}\n`, secret);
  const policy = {
    apiVersion: "audit.k8s.io/v1",
    kind: "Policy",
    rules: [{ level: "Metadata", omitStages: ["RequestReceived"] }],
  };
  await writeFile(keys.auditPolicy, JSON.stringify(policy));
  return keys;
}

function apiServerArgs(dir: string, keys: Keys, etcd: string, listen: { address: string; port: number }) {
  return [
    `--etcd-servers=${etcd}`,
    `--bind-address=${listen.address}`,
    `--secure-port=${listen.port}`,
    `--cert-dir=${join(dir, "certs")}`,
    `--token-auth-file=${keys.tokensFile}`,
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction",
    "--service-account-issuer=https://kubernetes.default.svc",
    `--service-account-key-file=${keys.publicKey}`,
    `--service-account-signing-key-file=${keys.privateKey}`,
    "--service-cluster-ip-range=10.96.0.0/16",
    // Webhooks behind a Service are called at the addresses of its endpoints, so that they can be without a kube-proxy.
    "--enable-aggregator-routing=true",
    "--endpoint-reconciler-type=none",
    "--allow-privileged=true",
    `--audit-policy-file=${keys.auditPolicy}`,
    `--audit-log-path=${join(dir, "audit.log")}`,
    "--audit-log-mode=blocking-strict",
  ];
}

async function startApiServer(
  processes: Processes,
  programs: ClusterPrograms,
  keys: Keys,
  options: ClusterOptions,
): Promise<{ readonly url: string; readonly caFile: string }> {
  const etcdUrl = "unix://etcd.sock:0";
  processes.start("etcd", [
    programs.etcd,
    `--data-dir=${join(processes.dir, "etcd")}`,
    `--listen-client-urls=${etcdUrl}`,
    `--advertise-client-urls=${etcdUrl}`,
    "--listen-peer-urls=unix://etcd-peer.sock:0",
    "--unsafe-no-fsync",
    "--log-level=warn",
  ]);
  const caFile = join(processes.dir, "certs", "apiserver.crt");
  const address = options.address ?? "127.0.0.1";
  for (let attempt = 1; ; attempt++) {
    const port = await freePort(address);
    const args = apiServerArgs(processes.dir, keys, etcdUrl, { address, port });
    const child = processes.start("kube-apiserver", [
      programs["kube-apiserver"],
      ...args,
      ...(options.apiServerArgs ?? []),
    ]);
    const url = `https://${address}:${port}`;
    const outcome = await until("the API server ready", START_TIMEOUT_MS, async () => {
      if (!alive(child)) return "ended";
      return (await get(`${url}/readyz`, keys.adminToken, caFile)).status === 200 ? "ready" : undefined;
    }).catch((cause: unknown) => {
      throw new Error(`${String(cause)}:\n${processes.tail("etcd")}\n${processes.tail("kube-apiserver")}`);
    });
    if (outcome === "ready") return { url, caFile };
    const log = processes.tail("kube-apiserver");
    if (attempt === PORT_ATTEMPTS || !/address already in use/.test(log))
      throw new Error(`kube-apiserver ended at start:\n${processes.tail("etcd")}\n${log}`);
  }
}

async function startControllers(
  processes: Processes,
  program: string,
  at: { kubeconfig: string; keys: Keys; caFile: string; options: ClusterOptions },
): Promise<void> {
  processes.start("kube-controller-manager", [
    program,
    `--kubeconfig=${at.kubeconfig}`,
    `--controllers=${(at.options.controllers ?? CONTROLLERS).join(",")}`,
    "--leader-elect=false",
    "--secure-port=0",
    `--root-ca-file=${at.caFile}`,
    `--service-account-private-key-file=${at.keys.privateKey}`,
    ...(at.options.controllerManagerArgs ?? []),
  ]);
}

/** A real control plane: etcd and kube-apiserver, and the controllers where their program is given. */
export interface Cluster extends AsyncDisposable {
  readonly api: ClusterApi;
  readonly dir: string;
  readonly url: string;
  readonly caFile: string;
  /** kubeconfig of an administrator. */
  readonly kubeconfigFile: string;
  /** What its processes have written last, for the message of a failure. */
  logs(): string;
}

/**
 * Starts a control plane with a folder and ports of its own. All of it goes with `await using`, or with this process, however that ends.
 * Throws, with the logs, when it does not start.
 */
export async function startCluster(
  programs: ClusterPrograms,
  options: ClusterOptions = {},
): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const processes = stack.use(await Processes.in(options.parentDir ?? tmpdir()));
  const keys = await writeKeys(processes.dir);
  const { url, caFile } = await startApiServer(processes, programs, keys, options);
  const kubeconfigFile = join(processes.dir, "admin.kubeconfig");
  const text = kubeconfigText({ url, caFile, token: keys.adminToken });
  await writeFile(kubeconfigFile, text, { mode: 0o600 });
  const config = new KubeConfig();
  config.loadFromString(text);
  const manager = programs["kube-controller-manager"];
  if (manager !== undefined) {
    await startControllers(processes, manager, { kubeconfig: kubeconfigFile, keys, caFile, options });
  }
  const api = new ClusterApi({
    config,
    url,
    caFile,
    dir: processes.dir,
    hasControllers: manager !== undefined,
    nodeTokens: keys.nodeTokens,
  });
  const all = stack.move();
  return {
    api,
    dir: processes.dir,
    url,
    caFile,
    kubeconfigFile,
    logs: () =>
      ["etcd", "kube-apiserver", "kube-controller-manager"]
        .map((name) => `--- ${name}\n${processes.tail(name)}`)
        .join("\n"),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
