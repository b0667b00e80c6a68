import { invalidRequest } from "../errors/index.ts";

/** CRI sandbox ids are 64 hex digits; tests and other runtimes use shorter names. Never a path. */
const ID = /^[0-9A-Za-z][0-9A-Za-z_.-]{0,127}$/;

/** Whether `id` can name a sandbox and its folder. */
export const isSandboxId = (id: string): boolean => ID.test(id);

/** Throws `invalid-request` for what cannot be a sandbox id. */
export function checkId(id: string): void {
  if (!isSandboxId(id))
    throw invalidRequest(
      `sandbox id ${JSON.stringify(id.slice(0, 200))} must be 1 to 128 letters, digits, "_", "." or "-", the first a letter or digit`,
    );
}
