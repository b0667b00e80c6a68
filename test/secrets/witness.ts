import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { delimiter, join } from "node:path";
import { type Marks, shownMarks } from "./marks.ts";

/** The programs that an adaptor runs. */
const PROGRAMS = [
  "ip",
  "tc",
  "nsenter",
  "iptables",
  "iptables-restore",
  "iptables-save",
  "sysctl",
  "modprobe",
  "systemd-notify",
];

/** A folder for the front of PATH, whose programs write their arguments down and then do what they are named after. */
export function argumentWitness(dir: string): { readonly path: string; arguments(): string } {
  const folder = join(dir, "witness");
  const file = join(dir, "arguments");
  mkdirSync(folder);
  const real = process.env["PATH"] ?? "";
  const places = real.split(delimiter);
  for (const program of PROGRAMS) {
    const found = places.map((place) => join(place, program)).find((path) => existsSync(path));
    if (found === undefined) continue;
    const script = `#!/bin/sh\nprintf '%s ' "$0" "$@" >>'${file}'; echo >>'${file}'\nexec '${found}' "$@"\n`;
    writeFileSync(join(folder, program), script);
    chmodSync(join(folder, program), 0o755);
  }
  return {
    path: [folder, real].join(delimiter),
    arguments: () => (existsSync(file) ? readFileSync(file, "utf8") : ""),
  };
}

/** What a unix socket's HTTP server answers. */
export function askSocket(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
    })
      .on("error", reject)
      .end();
  });
}

/** A file below `dir` that shows a mark: its path, who else may read it, and which. */
export interface Telling {
  readonly path: string;
  readonly others: boolean;
  readonly marks: readonly string[];
}

/** Every plain file below `dir` that holds a mark. */
export function tellingFiles(dir: string, marks: Marks): Telling[] {
  return readdirSync(dir, { recursive: true, encoding: "utf8" }).flatMap((name) => {
    const path = join(dir, name);
    try {
      const stat = statSync(path);
      if (!stat.isFile()) return [];
      const shown = shownMarks(readFileSync(path, "latin1"), marks);
      return shown.length === 0 ? [] : [{ path, others: (stat.mode & 0o077) !== 0, marks: shown }];
    } catch {
      return []; // It went while we looked.
    }
  });
}
