import { plainProbe } from "./plain-probe.ts";

/** The command line, and what this process is given by its surroundings. Loads what the command needs and no more. */
async function run(): Promise<number> {
  const args = process.argv.slice(2);
  const terminal = {
    env: process.env,
    out: (text: string) => process.stdout.write(text),
    err: (text: string) => process.stderr.write(text),
  };
  const probed = await plainProbe(args, terminal);
  if (probed !== undefined) return probed;
  const [{ main }, { endAtCrash }] = await Promise.all([import("./program.ts"), import("./crash-output.ts")]);
  process.on("uncaughtException", endAtCrash);
  return await main(args, terminal);
}

if (import.meta.main) process.exitCode = await run();
