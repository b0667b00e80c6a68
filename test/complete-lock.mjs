// Completes package-lock.json with the packages of other platforms that the registry in use does not have. npm leaves them out
// of the lock file without a word, and then `npm ci` refuses it. Run after `npm install`: `npm run lock`.
import { readFileSync, writeFileSync } from "node:fs";

const FILE = "package-lock.json";
const OS = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
];
const CPU = [
  "arm64",
  "armv7",
  "arm",
  "ia32",
  "loong64",
  "mips64el",
  "ppc64le",
  "ppc64",
  "riscv64",
  "s390x",
  "x64",
  "wasm32",
];

/** What the package may run on, by the parts of its name. */
function platformOf(name) {
  const parts = name.split(/[-/]/);
  const os = OS.filter((word) => parts.includes(word)).slice(0, 1);
  const cpu = CPU.filter((word) => parts.includes(word))
    .slice(0, 1)
    .map((word) => (word === "armv7" ? "arm" : word === "ppc64le" ? "ppc64" : word));
  const libc = parts.some((part) => part.startsWith("musl"))
    ? ["musl"]
    : parts.some((part) => part.startsWith("gnu"))
      ? ["glibc"]
      : [];
  return { ...(cpu.length > 0 && { cpu }), ...(os.length > 0 && { os }), ...(libc.length > 0 && { libc }) };
}

const lock = JSON.parse(readFileSync(FILE, "utf8"));
const added = {};
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (path === "" || key in lock.packages || `${path}/${key}` in lock.packages) continue;
    if (!/^\d+\.\d+\.\d+/.test(range)) {
      process.stdout.write(`${name} ${range} of ${path} is missing, and its range names no version\n`);
      process.exitCode = 1;
      continue;
    }
    added[key] = { version: range, ...(entry.dev && { dev: true }), optional: true, ...platformOf(name) };
  }
}
const sorted = Object.entries({ ...lock.packages, ...added }).sort(([a], [b]) => (a < b ? -1 : 1));
if (Object.keys(added).length > 0) {
  writeFileSync(FILE, `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`);
}
process.stdout.write(`${Object.keys(added).length} packages of other platforms added to ${FILE}\n`);
