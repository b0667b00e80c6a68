import { accessSync, constants, existsSync, statfsSync, statSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { describeError } from "../errors/index.ts";
import { inspectJournal } from "../journal/index.ts";
import { type Check, type Finding, failure, guarded, info, ok, warning } from "./finding.ts";

/** Where things are on this node. Absolute paths. */
export interface NodePlaces {
  readonly hypervisorSocket: string;
  readonly proxySocket: string;
  readonly adminSocket: string;
  readonly runDir: string;
  readonly podsDir: string;
  readonly stateDir: string;
  /** "": none is asked. */
  readonly criSocket: string;
}

/** Free space below which the journal is in danger. */
const LEAST_FREE_BYTES = 64 * 1024 * 1024;
/** PODS_DIR and a sandbox's id must fit into a socket's path (docs/errors.md). */
const MAX_PODS_DIR_BYTES = 30;
const CONNECT_TIMEOUT_MS = 3000;

/** Folders, sockets and the journal. Before the installation most are not there, which is said and no error. */
export function nodeChecks(places: NodePlaces): readonly Check[] {
  return [
    async () => folders(places),
    async () => await journal(places.stateDir),
    async () =>
      await Promise.all([
        socket(
          "hypervisor socket",
          places.hypervisorSocket,
          "start `cloud-api-adaptor shim-proxy`; if it runs, its -socket (REMOTE_HYPERVISOR_ENDPOINT) is another one",
        ),
        socket(
          "shim-proxy",
          places.proxySocket,
          "start `cloud-api-adaptor shim-proxy` before the adaptor, with the same run folder",
        ),
        socket(
          "adaptor",
          places.adminSocket,
          "start the adaptor (`cloud-api-adaptor PROVIDER`), or give the socket that it has (PEERPODS_ADMIN_SOCKET)",
        ),
        places.criSocket === ""
          ? warning(
              "container runtime",
              "CRI_RUNTIME_ENDPOINT is not set: sandboxes without a shim are stopped after a grace time only, and VMs that nobody owns are not looked for",
              "set CRI_RUNTIME_ENDPOINT to the socket of containerd or CRI-O",
            )
          : socket(
              "container runtime",
              places.criSocket,
              "mount the runtime's socket, and set CRI_RUNTIME_ENDPOINT to it",
            ),
      ]),
  ];
}

function folders({ podsDir, runDir, stateDir }: NodePlaces): readonly Finding[] {
  const findings = [
    folder("run folder", runDir, "mount the host's /run/peerpod read-write"),
    folder("state folder", stateDir, "mount the host's /var/lib/peerpods read-write, mode 0700"),
  ];
  const bytes = Buffer.byteLength(podsDir);
  if (bytes > MAX_PODS_DIR_BYTES)
    findings.push(
      failure(
        "pods folder",
        `PODS_DIR ${podsDir} has ${bytes} bytes; sockets in it would have paths that are too long`,
        `use one of at most ${MAX_PODS_DIR_BYTES} bytes, such as /run/peerpod/pods`,
      ),
    );
  return findings;
}

/** The folder itself or, where it will be made, the next one above that exists. */
function folder(check: string, path: string, fix: string): Finding {
  let there = path;
  while (!existsSync(there) && dirname(there) !== there) there = dirname(there);
  try {
    accessSync(there, constants.W_OK);
    const { bavail, bsize } = statfsSync(there);
    const free = bavail * bsize;
    if (free < LEAST_FREE_BYTES)
      return failure(
        check,
        `${there} has ${Math.floor(free / 1024 / 1024)} MiB left`,
        "free space on that file system",
      );
    if (there !== path) return info(check, `${path} is not there yet and can be made`);
    const mode = statSync(path).mode & 0o777;
    return check === "state folder" && (mode & 0o077) !== 0
      ? warning(
          check,
          `${path} has mode ${mode.toString(8)}: others can look at the journal's files`,
          `chmod 0700 ${path}`,
        )
      : ok(check, `${path} can be written`);
  } catch (error) {
    return failure(check, `${there} cannot be written: ${describeError(error)}`, fix);
  }
}

async function journal(stateDir: string): Promise<readonly Finding[]> {
  const path = join(stateDir, "journal.db");
  if (!existsSync(path)) return [info("journal", `${path} is not there yet: nothing has run on this node`)];
  const fix = "see `cloud-api-adaptor journal check` and docs/errors.md, journal";
  return await guarded("journal", fix, async () => {
    const { sandboxes, vms, problems } = inspectJournal(path);
    if (problems.length > 0) return problems.map((problem) => failure("journal", problem, fix));
    return [ok("journal", `sound: ${sandboxes.length} sandboxes, ${vms.length} VMs`)];
  });
}

async function socket(check: string, path: string, fix: string): Promise<Finding> {
  if (!existsSync(path)) return info(check, `${path} is not there: ${check} does not run yet`);
  const trouble = await connectTrouble(path);
  return trouble === undefined ? ok(check, `answers on ${path}`) : failure(check, `${path}: ${trouble}`, fix);
}

function connectTrouble(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const link = connect({ path });
    const end = (trouble: string | undefined): void => {
      link.destroy();
      resolve(trouble);
    };
    link.setTimeout(CONNECT_TIMEOUT_MS, () => end("nobody answers"));
    link.once("connect", () => end(undefined));
    link.once("error", (error) =>
      end("code" in error && error.code === "ECONNREFUSED" ? "nobody listens on it any more" : error.message),
    );
  });
}
