import { existsSync } from "node:fs";
import { parse as parseToml } from "smol-toml";
import * as v from "valibot";
import { readTextFile } from "../platform/index.ts";
import { type Check, type Finding, failure, guarded, info, ok, warning } from "./finding.ts";

const MAX_CONFIG_BYTES = 1024 * 1024;

/** Where kata-deploy and packages put the remote hypervisor's configuration. */
const SHIM_CONFIGS = [
  "/opt/kata/share/defaults/kata-containers/configuration-remote.toml",
  "/opt/kata/share/defaults/kata-containers/runtimes/remote/configuration-remote.toml",
  "/opt/kata/share/defaults/kata-containers/runtime-rs/configuration-remote.toml",
  "/etc/kata-containers/configuration-remote.toml",
  "/etc/kata-containers/configuration.toml",
] as const;
const CONTAINERD_CONFIG = "/etc/containerd/config.toml";

/** What the webhook and users set, and the shim drops unless its configuration lets it through. */
const ANNOTATIONS = ["machine_type", "default_vcpus", "default_memory", "image", "cc_init_data"] as const;

const SHIM = v.object({
  hypervisor: v.optional(
    v.object({
      remote: v.optional(
        v.object({
          remote_hypervisor_socket: v.optional(v.string()),
          enable_annotations: v.optional(v.array(v.string()), []),
        }),
      ),
    }),
    {},
  ),
  runtime: v.optional(
    v.object({
      disable_new_netns: v.optional(v.boolean(), false),
      internetworking_model: v.optional(v.string(), ""),
      static_sandbox_resource_mgmt: v.optional(v.boolean(), false),
    }),
    {},
  ),
});

export interface ShimPlaces {
  readonly hypervisorSocket: string;
  /** In place of the usual ones; "" for those. */
  readonly shimConfig: string;
  /** Below which the node's file system is; "" for `/`. */
  readonly hostRoot: string;
  readonly runtimeClass: string;
}

/** What Kata's shim and containerd are told. */
export function shimChecks(places: ShimPlaces): readonly Check[] {
  return [() => shim(places), () => containerd(places)];
}

async function shim(places: ShimPlaces): Promise<readonly Finding[]> {
  const paths =
    places.shimConfig === "" ? SHIM_CONFIGS.map((path) => places.hostRoot + path) : [places.shimConfig];
  const path = paths.find((one) => existsSync(one));
  if (path === undefined)
    return [
      info(
        "shim configuration",
        `none of ${paths.join(", ")} is there: Kata is not installed, or its files are not mounted here; install it (kata-deploy with the shim "remote"), or name the file with -shim-config`,
      ),
    ];
  return await guarded("shim configuration", `look at ${path}`, async () => {
    const config = v.parse(SHIM, parseToml(await readTextFile(path, MAX_CONFIG_BYTES)));
    const problems = [...remoteProblems(path, config, places), ...runtimeProblems(path, config)];
    return problems.length > 0 ? problems : [ok("shim configuration", `${path} fits this adaptor`)];
  });
}

type ShimConfig = v.InferOutput<typeof SHIM>;

function remoteProblems(path: string, { hypervisor }: ShimConfig, places: ShimPlaces): readonly Finding[] {
  const { remote } = hypervisor;
  if (remote === undefined)
    return [
      failure(
        "shim configuration",
        `${path} has no section [hypervisor.remote]`,
        "use Kata's configuration-remote.toml",
      ),
    ];
  const socket = remote.remote_hypervisor_socket ?? "/run/peerpod/hypervisor.sock";
  const missing = ANNOTATIONS.filter(
    (name) => !remote.enable_annotations.some((pattern) => pattern === name || pattern === ".*"),
  );
  return [
    ...(socket === places.hypervisorSocket
      ? []
      : [
          failure(
            "shim configuration",
            `${path} sends shims to ${socket}, and the shim-proxy listens on ${places.hypervisorSocket}`,
            "set remote_hypervisor_socket and REMOTE_HYPERVISOR_ENDPOINT to the same path",
          ),
        ]),
    ...(missing.length === 0
      ? []
      : [
          warning(
            "shim configuration",
            `${path} lets these annotations not through: ${missing.join(", ")}`,
            `add them to enable_annotations in [hypervisor.remote]; without them VMs get the default size, image or no initdata`,
          ),
        ]),
  ];
}

function runtimeProblems(path: string, { runtime }: ShimConfig): readonly Finding[] {
  return [
    ...(runtime.disable_new_netns && runtime.internetworking_model === "none"
      ? []
      : [
          failure(
            "shim configuration",
            `${path} has disable_new_netns = ${runtime.disable_new_netns} and internetworking_model = ${JSON.stringify(runtime.internetworking_model)}`,
            'set disable_new_netns = true and internetworking_model = "none" in [runtime]: the adaptor connects the pod\'s network itself',
          ),
        ]),
    ...(runtime.static_sandbox_resource_mgmt
      ? []
      : [
          warning(
            "shim configuration",
            `${path} has static_sandbox_resource_mgmt = false: the shim will ask for CPU and memory to be plugged in, which no cloud does`,
            "set static_sandbox_resource_mgmt = true in [runtime]",
          ),
        ]),
  ];
}

/** containerd's file has a table for each plugin version; the runtimes in them are looked for wherever they are. */
async function containerd({ hostRoot, runtimeClass }: ShimPlaces): Promise<readonly Finding[]> {
  const path = hostRoot + CONTAINERD_CONFIG;
  if (!existsSync(path))
    return [info("containerd configuration", `${path} is not there: CRI-O, or the file is not mounted here`)];
  return await guarded("containerd configuration", `look at ${path}`, async () => {
    const document: unknown = parseToml(await readTextFile(path, MAX_CONFIG_BYTES));
    const runtime = findRuntime(document, runtimeClass);
    if (runtime === undefined)
      return [
        info(
          "containerd configuration",
          `${path} itself has no runtime ${runtimeClass}; where kata-deploy has put it into an imported file that is right`,
        ),
      ];
    const passed = v.safeParse(v.object({ pod_annotations: v.array(v.string()) }), runtime);
    if (passed.success && passed.output.pod_annotations.some((one) => one.startsWith("io.katacontainers.")))
      return [
        ok("containerd configuration", `runtime ${runtimeClass} passes io.katacontainers.* annotations`),
      ];
    return [
      failure(
        "containerd configuration",
        `runtime ${runtimeClass} in ${path} does not pass the pods' annotations to the shim`,
        `set pod_annotations = ["io.katacontainers.*"] there and restart containerd; without it no pod has a size, image or initdata of its own`,
      ),
    ];
  });
}

function findRuntime(node: unknown, name: string): unknown {
  if (typeof node !== "object" || node === null) return undefined;
  for (const [key, value] of Object.entries(node)) {
    if (key === "runtimes" && typeof value === "object" && value !== null) {
      const found: unknown = Object.entries(value).find(([runtime]) => runtime === name)?.[1];
      if (found !== undefined) return found;
    }
    const below = findRuntime(value, name);
    if (below !== undefined) return below;
  }
  return undefined;
}
