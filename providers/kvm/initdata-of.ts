import * as v from "valibot";
import { parse } from "yaml";
import { describeError, invalidRequest } from "../../src/errors/index.ts";
import type { Secret } from "../../src/platform/index.ts";
import { type Initdata, parseInitdata } from "../../src/user-data/index.ts";

const PATH = "/run/peerpod/initdata";
const Document = v.object({
  write_files: v.optional(v.array(v.object({ path: v.string(), content: v.optional(v.string()) })), []),
});

/** The initdata in a VM's user data; undefined when there is none. Throws `invalid-request`, without a word of the content. */
export function initdataOf(userData: Secret): Initdata | undefined {
  const document = v.safeParse(Document, read(userData));
  if (!document.success) throw invalidRequest("the user data is no cloud-config with write_files");
  const file = document.output.write_files.find(({ path }) => path === PATH);
  if (file?.content === undefined) return undefined;
  try {
    return parseInitdata(file.content);
  } catch (error) {
    throw invalidRequest(`the initdata in the user data cannot be read: ${describeError(error)}`);
  }
}

function read(userData: Secret): unknown {
  try {
    return parse(userData.reveal());
  } catch {
    // The parser's message quotes the document, which has keys.
    throw invalidRequest("the user data is not YAML");
  }
}
