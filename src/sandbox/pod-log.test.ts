import { expect, test } from "vitest";
import { journalFailed } from "../errors/index.ts";
import type { Journal } from "../journal/index.ts";
import type { Log, LogFields } from "../platform/index.ts";
import { withPodNames } from "./pod-log.ts";

type Sandboxes = Pick<Journal, "sandbox">;
// Only the names are looked at.
const record = { podNamespace: "default", podName: "web", vmName: "podvm-web" } as ReturnType<
  Journal["sandbox"]
>;
const journal: Sandboxes = { sandbox: (id) => (id === "s1" ? record : undefined) };

/** Keeps the fields of the lines. */
function kept(): { readonly log: Log; readonly lines: (LogFields | undefined)[] } {
  const lines: (LogFields | undefined)[] = [];
  const keep = (_message: string, fields?: LogFields): void => {
    lines.push(fields);
  };
  const log: Log = { error: keep, warn: keep, info: keep, debug: keep, child: () => log };
  return { log, lines };
}

test("a line about a known sandbox names its pod and VM; what the line says itself stays", () => {
  const { log, lines } = kept();
  const named = withPodNames(log, journal);
  named.warn("m", { sandboxId: "s1", step: "link" });
  named.child({}).info("m", { sandboxId: "s1", vmName: "other" });
  expect(lines).toEqual([
    { sandboxId: "s1", pod: "default/web", vmName: "podvm-web", step: "link" },
    { sandboxId: "s1", pod: "default/web", vmName: "other" },
  ]);
});

test("other lines pass as they are, and a journal that cannot be read loses none", () => {
  const { log, lines } = kept();
  const broken: Sandboxes = {
    sandbox: () => {
      throw journalFailed("damaged");
    },
  };
  withPodNames(log, broken).error("m", { sandboxId: "s1" });
  withPodNames(log, journal).info("m", { sandboxId: "unknown" });
  withPodNames(log, journal).info("m");
  expect(lines).toEqual([{ sandboxId: "s1" }, { sandboxId: "unknown" }, undefined]);
});
