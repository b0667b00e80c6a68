import type { LinuxResources, Mount, Process, Spec } from "../../../../src/gen/agent/oci.ts";

// From the OCI specification as it travels in protobuf (kata-containers src/libs/protocols/protos/oci.proto) to the
// config.json that runc reads. Protobuf cannot say "unset", so what is empty or 0 there is left out here.

/** A JSON object that goes into a file. */
export type Json = { readonly [key: string]: unknown };

/** A namespace to join, or without a path to make. */
export interface Namespace {
  readonly type: string;
  readonly path?: string;
}

const filled = (list: readonly unknown[]): boolean => list.length > 0;
const json = (value: bigint): number => Number(value);

/** The Rust shim sends `CHOWN`, the Go one `CAP_CHOWN`, which is what runc reads. */
const withPrefix = (names: readonly string[]): readonly string[] =>
  names.map((name) => (name.startsWith("CAP_") ? name : `CAP_${name}`));

/** `process` of config.json, as runc exec takes it too. */
export function toProcessJson(process: Process): Json {
  const user = process.User;
  const capabilities = process.Capabilities;
  const size = process.ConsoleSize;
  return {
    terminal: process.Terminal,
    ...(size ? { consoleSize: { height: size.Height, width: size.Width } } : {}),
    user: {
      uid: user?.UID ?? 0,
      gid: user?.GID ?? 0,
      ...(user !== undefined && filled(user.AdditionalGids) ? { additionalGids: user.AdditionalGids } : {}),
    },
    args: process.Args,
    env: process.Env,
    cwd: process.Cwd === "" ? "/" : process.Cwd,
    ...(capabilities
      ? {
          capabilities: {
            bounding: withPrefix(capabilities.Bounding),
            effective: withPrefix(capabilities.Effective),
            inheritable: withPrefix(capabilities.Inheritable),
            permitted: withPrefix(capabilities.Permitted),
            ambient: withPrefix(capabilities.Ambient),
          },
        }
      : {}),
    rlimits: process.Rlimits.map((limit) => ({
      type: limit.Type,
      hard: json(limit.Hard),
      soft: json(limit.Soft),
    })),
    noNewPrivileges: process.NoNewPrivileges,
    ...(process.OOMScoreAdj === 0n ? {} : { oomScoreAdj: json(process.OOMScoreAdj) }),
  };
}

const setOnly = (entries: readonly (readonly [string, number])[]): Json =>
  Object.fromEntries(entries.filter(([, value]) => value !== 0));

/** `linux.resources` of config.json, as runc update takes it too. */
export function toResourcesJson(resources: LinuxResources): Json {
  const { Memory: memory, CPU: cpu, Pids: pids } = resources;
  return {
    ...(memory
      ? {
          memory: setOnly([
            ["limit", json(memory.Limit)],
            ["reservation", json(memory.Reservation)],
            ["swap", json(memory.Swap)],
          ]),
        }
      : {}),
    ...(cpu
      ? {
          cpu: {
            ...setOnly([
              ["shares", json(cpu.Shares)],
              ["quota", json(cpu.Quota)],
              ["period", json(cpu.Period)],
            ]),
            ...(cpu.Cpus === "" ? {} : { cpus: cpu.Cpus }),
            ...(cpu.Mems === "" ? {} : { mems: cpu.Mems }),
          },
        }
      : {}),
    ...(pids !== undefined && pids.Limit !== 0n ? { pids: { limit: json(pids.Limit) } } : {}),
  };
}

const toMountJson = (mount: Mount): Json => ({
  destination: mount.destination,
  source: mount.source,
  type: mount.type,
  options: mount.options,
});

/** What the guest decides about a container, whatever the request's specification says. */
export interface SpecChanges {
  readonly rootfs: string;
  readonly namespaces: readonly Namespace[];
  /** Below the VM's own cgroup: a relative path. */
  readonly cgroupsPath: string;
  readonly extraMounts: readonly Json[];
  readonly process: Process;
}

/** The whole config.json of a container. */
export function toConfigJson(spec: Spec, changes: SpecChanges): Json {
  const linux = spec.Linux;
  return {
    ociVersion: "1.0.2",
    process: toProcessJson(changes.process),
    root: { path: changes.rootfs, readonly: spec.Root?.Readonly ?? false },
    ...(spec.Hostname === "" ? {} : { hostname: spec.Hostname }),
    mounts: [...spec.Mounts.map(toMountJson), ...changes.extraMounts],
    annotations: spec.Annotations,
    linux: {
      cgroupsPath: changes.cgroupsPath,
      namespaces: changes.namespaces,
      sysctl: linux?.Sysctl ?? {},
      ...(linux?.Resources ? { resources: toResourcesJson(linux.Resources) } : {}),
      devices: (linux?.Devices ?? []).map((device) => ({
        path: device.Path,
        type: device.Type,
        major: json(device.Major),
        minor: json(device.Minor),
        fileMode: device.FileMode,
        uid: device.UID,
        gid: device.GID,
      })),
      ...(linux && linux.RootfsPropagation !== "" ? { rootfsPropagation: linux.RootfsPropagation } : {}),
      maskedPaths: linux?.MaskedPaths ?? [],
      readonlyPaths: linux?.ReadonlyPaths ?? [],
    },
  };
}
