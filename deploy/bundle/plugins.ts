import type { Plugin } from "rolldown";
import { withPlainBuiltins } from "./builtins.ts";

/** Reads .proto files for services of gRPC's own that we do not offer; grpc-js loads it when one of them is asked for. */
const UNUSED: readonly string[] = ["@grpc/proto-loader"];
const MARK = "\0unused:";

/** In place of packages that nothing here can reach: a module that says so. */
export const withoutUnused: Plugin = {
  name: "unused",
  resolveId: (id) => (UNUSED.includes(id) ? `${MARK}${id}` : undefined),
  load: (id) =>
    id.startsWith(MARK)
      ? `throw new Error(${JSON.stringify(`${id.slice(MARK.length)} is not in the bundle`)});`
      : undefined,
};

export const plainBuiltins: Plugin = { name: "builtins", renderChunk: (code) => withPlainBuiltins(code) };
