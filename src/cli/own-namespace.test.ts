import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { mockProvider } from "../../providers/mock/index.ts";
import { readAdaptorConfig } from "./config.ts";
import { ownNamespace } from "./own-namespace.ts";

test("the service account's file tells the namespace, before POD_NAMESPACE and its default", () => {
  const dir = mkdtempSync(join(tmpdir(), "namespace-"));
  try {
    writeFileSync(join(dir, "namespace"), "from-the-file\n");
    const namespace = (file: string, env: Record<string, string>): string =>
      readAdaptorConfig(mockProvider, {
        flags: new Map(),
        env,
        hostname: "h",
        serviceAccountNamespace: ownNamespace(join(dir, file)),
      }).node.podNamespace;
    expect(namespace("namespace", { POD_NAMESPACE: "from-env" })).toBe("from-the-file");
    expect(namespace("none", { POD_NAMESPACE: "from-env" })).toBe("from-env");
    expect(namespace("none", {})).toBe("confidential-containers-system");
  } finally {
    rmSync(dir, { recursive: true });
  }
});
