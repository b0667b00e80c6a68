import { isAbsolute, join } from "node:path";
import { type CaaError, invalidConfig } from "../../../src/errors/index.ts";

/** What the guest's environment asks for. The stock image has none of these variables; each default is what it does. */
export interface GuestSettings {
  /** PEERPOD_GUEST_ROOTLESS=1: containers are plain processes, there is no pod network and nothing is mounted. */
  readonly rootless: boolean;
  /** PEERPOD_GUEST_USER_DATA: where the cloud left the user data. */
  readonly userDataPath: string;
  /** PEERPOD_GUEST_ADDRESS: IPv4 address that the forwarder binds. */
  readonly address: string;
  /** PEERPOD_GUEST_PORT: TCP port of the forwarder; 0 lets the kernel choose. */
  readonly port: number;
  /** PEERPOD_GUEST_ROOT: put before every path under /run; "" in a VM that has a /run of its own. */
  readonly root: string;
  /** PEERPOD_GUEST_IMAGES: folder of OCI layouts that stands for the registry. */
  readonly imagesDir: string;
  /** PEERPOD_GUEST_AGENT_VERSION: what Health.Version tells; before 3.32.0 GetOOMEvent also deadlocks as it did then. */
  readonly agentVersion: string;
  /** PEERPOD_GUEST_DISABLE_TLS=1: the forwarder speaks plain TCP, as with the stock one's -disable-tls. */
  readonly disableTls: boolean;
  /** PEERPOD_GUEST_TLS_DIR: tls.crt, tls.key and ca.crt of an image that brings its own; used when apf.json has none. */
  readonly tlsDir: string;
  /** PEERPOD_GUEST_HOST_INTERFACE: the interface of the tunnel in dedicated mode; "" is the primary one. */
  readonly hostInterface: string;
  /** Every PEERPOD_GUEST_ variable: plain processes get them too, so that they can be told apart from the machine's own. */
  readonly marks: Readonly<Record<string, string>>;
}

/** The port of the stock agent-protocol-forwarder (cloud-api-adaptor pkg/forwarder/forwarder.go, DefaultListenPort). */
export const FORWARDER_PORT = 15150;
/** The version of the kata agent whose behaviour the guest copies. */
export const DEFAULT_AGENT_VERSION = "4.1.0";

const PREFIX = "PEERPOD_GUEST_";

type Env = Readonly<Record<string, string | undefined>>;

const wrong = (key: string, value: string, form: string): CaaError =>
  invalidConfig(`${key}=${JSON.stringify(value)} is not usable; give ${form}`);

function flag(env: Env, key: string): boolean {
  const value = env[key] ?? "";
  if (value === "" || value === "0") return false;
  if (value === "1") return true;
  throw wrong(key, value, "1 or 0");
}

function path(env: Env, key: string, fallback: string): string {
  const value = env[key] ?? "";
  if (value === "") return fallback;
  if (!isAbsolute(value)) throw wrong(key, value, "an absolute path");
  return value;
}

function text(env: Env, key: string, accepted: RegExp, fallback: { value: string; form: string }): string {
  const value = env[key] ?? "";
  if (value === "") return fallback.value;
  if (!accepted.test(value)) throw wrong(key, value, fallback.form);
  return value;
}

/** Reads the guest's environment. An empty value is unset. Throws `invalid-config` naming the variable and the accepted form. */
export function readSettings(env: Env): GuestSettings {
  const port = text(env, "PEERPOD_GUEST_PORT", /^\d{1,5}$/, {
    value: `${FORWARDER_PORT}`,
    form: "0 to 65535",
  });
  if (Number(port) > 65_535) throw wrong("PEERPOD_GUEST_PORT", port, "0 to 65535");
  return {
    rootless: flag(env, "PEERPOD_GUEST_ROOTLESS"),
    userDataPath: path(env, "PEERPOD_GUEST_USER_DATA", "/media/cidata/user-data"),
    address: text(env, "PEERPOD_GUEST_ADDRESS", /^\d+\.\d+\.\d+\.\d+$/, {
      value: "0.0.0.0",
      form: "an IPv4 address",
    }),
    port: Number(port),
    root: path(env, "PEERPOD_GUEST_ROOT", ""),
    imagesDir: path(env, "PEERPOD_GUEST_IMAGES", "/opt/peerpod/images"),
    agentVersion: text(env, "PEERPOD_GUEST_AGENT_VERSION", /^\d+\.\d+\.\d+([-.+].*)?$/, {
      value: DEFAULT_AGENT_VERSION,
      form: "a version such as 3.31.0",
    }),
    disableTls: flag(env, "PEERPOD_GUEST_DISABLE_TLS"),
    tlsDir: path(env, "PEERPOD_GUEST_TLS_DIR", "/etc/certificates"),
    hostInterface: text(env, "PEERPOD_GUEST_HOST_INTERFACE", /^[\w.-]{1,15}$/, {
      value: "",
      form: "an interface name",
    }),
    marks: Object.fromEntries(
      Object.entries(env).flatMap(([key, value]) =>
        key.startsWith(PREFIX) && value !== undefined ? [[key, value]] : [],
      ),
    ),
  };
}

/** `path` of a VM as seen by this guest: below its private root, if it has one. */
export const inVm = (root: string, path: string): string => (root === "" ? path : join(root, path));
