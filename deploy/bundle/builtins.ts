import { isBuiltin } from "node:module";

/** An import, as the bundler writes it. */
const IMPORT =
  /^import (?:(?:\* as )?(?<whole>[\w$]+))?(?:, )?(?:\{ (?<names>[^}]*) \})? from "(?<module>[\w:/]+)";$/gm;

/**
 * The same code with Node's own modules as plain objects. A module of Node that is imported has every property read, to make a
 * module's namespace of it, and with that node:http loads all of fetch: 20 ms and 3 MB, which nothing here uses.
 */
export function withPlainBuiltins(code: string): string {
  return code.replaceAll(IMPORT, (line: string, ...rest: unknown[]) => {
    const { whole, names, module } = Object(rest.at(-1));
    if (!isBuiltin(String(module))) return line;
    // Packages import `process` under that very name.
    const value = `globalThis.process.getBuiltinModule("${module}")`;
    return [
      ...(whole === undefined ? [] : [`const ${whole} = ${value};`]),
      ...(names === undefined ? [] : [`const { ${String(names).replaceAll(" as ", ": ")} } = ${value};`]),
    ].join(" ");
  });
}
