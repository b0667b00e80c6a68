import { askAdmin } from "../admin/client.ts";

/** Shorter than the timeout of any sensible probe but the kubelet's default of 1 s, which ends the command itself. */
const PROBE_TIMEOUT_MS = 5000;

const QUESTIONS: readonly string[] = ["startup", "ready", "live"];

/**
 * Asks the adaptor and prints one line. Resolves to the exit status: 0 yes; 1 no, or nobody answers; 2 there is no such question.
 */
export async function runProbe(
  socketPath: string,
  question: string,
  write: (text: string) => void,
): Promise<number> {
  if (!QUESTIONS.includes(question)) {
    write(`probe: ${JSON.stringify(question)} is not known; give ${QUESTIONS.join(", ")}\n`);
    return 2;
  }
  try {
    const answer = await askAdmin(socketPath, {
      method: "GET",
      path: `/${question}`,
      timeoutMs: PROBE_TIMEOUT_MS,
    });
    const ok = answer.status === 200;
    write(`${ok ? "ok" : "not ok"}: ${reasonsIn(answer.body)}\n`);
    return ok ? 0 : 1;
  } catch (error) {
    write(`not ok: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

function reasonsIn(body: string): string {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === "object" && value !== null && "reasons" in value && Array.isArray(value.reasons))
      return value.reasons.map(String).join("; ");
  } catch {
    // Said below.
  }
  return `an answer that is not understood: ${body.slice(0, 200).replaceAll(/\s+/g, " ")}`;
}
