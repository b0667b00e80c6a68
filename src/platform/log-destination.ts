import { writeSync } from "node:fs";
import { pino } from "pino";
import { prettyLine } from "./pretty-line.ts";

const STANDARD_ERROR = 2;

/** Where log lines go: standard error, at once, so that nothing is lost at a crash. JSON, or for a person when that is a terminal. */
export function logDestination(): pino.DestinationStream {
  if (!process.stderr.isTTY) return pino.destination({ fd: STANDARD_ERROR, sync: true });
  // Node knows NO_COLOR (https://no-color.org) and terminals without colours.
  const colours = process.stderr.hasColors();
  return {
    write: (line) => {
      try {
        writeSync(STANDARD_ERROR, prettyLine(line, colours));
      } catch {
        // A terminal that is slow or gone: a line for people is no reason to fail.
      }
    },
  };
}
