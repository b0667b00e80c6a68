import { expect, test } from "vitest";
import { withPlainBuiltins } from "../../deploy/bundle/builtins.ts";

test("imports of Node's modules become plain objects, in every form that the bundler writes", () => {
  const code = [
    'import { createServer, request as request$1 } from "node:http";',
    'import process$1, { env } from "node:process";',
    'import * as tls from "tls";',
    'import path from "path";',
  ].join("\n");
  expect(withPlainBuiltins(code).split("\n")).toEqual([
    'const { createServer, request: request$1 } = globalThis.process.getBuiltinModule("node:http");',
    'const process$1 = globalThis.process.getBuiltinModule("node:process"); const { env } = globalThis.process.getBuiltinModule("node:process");',
    'const tls = globalThis.process.getBuiltinModule("tls");',
    'const path = globalThis.process.getBuiltinModule("path");',
  ]);
});

test("what is no module of Node, and what only looks like an import, stays", () => {
  const code = [
    'import { t as Secret } from "./commands.mjs";',
    'import "./commands.mjs";',
    "const text = 'import { x } from \"node:http\";';",
    '  import { y } from "node:http";',
  ].join("\n");
  expect(withPlainBuiltins(code)).toBe(code);
});
