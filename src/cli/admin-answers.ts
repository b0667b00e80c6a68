import * as v from "valibot";
import { type AdminRequest, askAdmin } from "../admin/client.ts";
import { CaaError, type ErrorKind, KINDS, unavailable } from "../errors/index.ts";

const REFUSAL = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    error: v.object({
      kind: v.custom<ErrorKind>((kind) => typeof kind === "string" && Object.hasOwn(KINDS, kind)),
      message: v.string(),
    }),
  }),
);

/** The body of an answer of status 200. Throws what the adaptor refused with, and `unavailable` when none answers. */
export async function askForBody(socket: string, request: AdminRequest): Promise<string> {
  const { status, body } = await askAdmin(socket, request);
  if (status === 200) return body;
  const refusal = v.safeParse(REFUSAL, body);
  if (refusal.success) throw new CaaError(refusal.output.error.kind, refusal.output.error.message);
  throw unavailable(`the adaptor on ${socket} answered with status ${status}; see its log`);
}
