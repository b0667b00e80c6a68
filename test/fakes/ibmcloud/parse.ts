import * as v from "valibot";
import { IbmRefusal } from "./answers.ts";
import { bodyProblem } from "./schemas.ts";

/** The body by a schema; refuses it in VPC's form. */
export function parseBody<T>(schema: v.GenericSchema<unknown, T>, text: string): T {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    throw new IbmRefusal(400, "bad_request", "The request body is not JSON");
  }
  const parsed = v.safeParse(schema, raw);
  if (parsed.success) return parsed.output;
  const { code, message } = bodyProblem(parsed.issues[0]);
  throw new IbmRefusal(400, code, message);
}
