/** Where and as whom; files are of this machine. */
export interface SshTarget {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** The private key. */
  readonly keyFile: string;
  /** The host's key must be in it. */
  readonly knownHostsFile: string;
}

/** Seconds without an answer after which the connection counts as lost, three times over. */
const ALIVE_SECONDS = 5;
const CONNECT_SECONDS = 15;
/** Seconds that the shared connection outlives its last use. */
const KEEP_SECONDS = 60;

/** A word for the other side's shell, whatever is in it. */
export const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/**
 * `ssh` up to the host's name. Nobody is asked for anything: a key that is not accepted, or a host that is not known, is an error.
 * One connection, below `folder`, is shared by all calls.
 */
export function sshArguments(target: SshTarget, folder: string): readonly [string, ...string[]] {
  const options = {
    BatchMode: "yes",
    IdentitiesOnly: "yes",
    StrictHostKeyChecking: "yes",
    UserKnownHostsFile: target.knownHostsFile,
    ConnectTimeout: `${CONNECT_SECONDS}`,
    ServerAliveInterval: `${ALIVE_SECONDS}`,
    ServerAliveCountMax: "3",
    ControlMaster: "auto",
    ControlPath: `${folder}/%C`,
    ControlPersist: `${KEEP_SECONDS}`,
    StreamLocalBindUnlink: "yes",
  };
  return [
    "ssh",
    // The user's and the system's own configuration have no say.
    ...["-F", "/dev/null"],
    ...Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]),
    ...["-i", target.keyFile, "-p", `${target.port}`, "-l", target.user],
  ];
}
