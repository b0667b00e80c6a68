import { join } from "node:path";

/** Where the program is: the repository, or what an image has of it. Sources and bundle (dist/program) are equally deep in it. */
const ROOT: string = join(import.meta.dirname, "..", "..");

/** A file that comes with the program, by its path in the repository. */
export const installedFile = (path: string): string => join(ROOT, path);

/** A program beside this one: from the bundle if this one is, by `name`, else from its source. */
export const installedProgram = (name: string, source: string): string =>
  import.meta.filename.endsWith(".ts") ? installedFile(source) : join(import.meta.dirname, `${name}.mjs`);
