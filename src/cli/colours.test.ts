import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const MAIN = join(import.meta.dirname, "main.ts");
/** util-linux's script: runs a command on a pseudo-terminal. */
const hasTerminal = spawnSync("script", ["--version"]).status === 0;
const ESCAPE = "\u001b[";

/** What doctor writes on a terminal: without a configuration it has something to say at once. */
function onTerminal(env: Readonly<Record<string, string>>): string {
  const command = `${process.execPath} --disable-warning=ExperimentalWarning ${MAIN} doctor azure`;
  const { stdout } = spawnSync("script", ["-qec", command, "/dev/null"], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], TERM: "xterm-256color", ...env },
  });
  return stdout;
}

test.skipIf(!hasTerminal)(
  "a terminal shows colours unless NO_COLOR is set (needs script, of util-linux)",
  () => {
    const coloured = onTerminal({});
    expect(coloured).toContain("AZURE_REGION");
    expect(coloured).toContain(ESCAPE);
    const plain = onTerminal({ NO_COLOR: "1" });
    expect(plain).toContain("AZURE_REGION");
    expect(plain).not.toContain(ESCAPE);
  },
);
