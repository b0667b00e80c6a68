import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ALL_CASES } from "./all-cases.ts";
import { findPeers } from "./peers.ts";
import { chosen, summary, table } from "./report.ts";

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "peers-"));
});

afterEach(() => {
  rmSync(dir, { recursive: true });
});

const NEEDED = [
  "containerd",
  "agent-protocol-forwarder",
  "process-user-data",
  "kata-agent",
  "busybox",
  "ip",
  "iptables-save",
  "ss",
  "containerd-shim-kata-v2",
];

function place(folder: string, ...files: readonly string[]): void {
  mkdirSync(folder, { recursive: true });
  for (const file of files) {
    writeFileSync(join(folder, file), "");
    chmodSync(join(folder, file), 0o755);
  }
}

describe("finding the stock programs", () => {
  test("what is missing is named", () => {
    place(dir, ...NEEDED.filter((file) => file !== "kata-agent"));
    place(join(dir, "cni"), "bridge", "host-local", "loopback");
    expect(findPeers(dir, "")).toEqual({ missing: ["kata-agent"] });
  });

  test("the given folder comes before PATH, and PATH fills the gaps", () => {
    place(join(dir, "given"), "kata-agent");
    place(join(dir, "given", "cni"), "bridge", "host-local", "loopback");
    place(join(dir, "path"), ...NEEDED);
    const peers = findPeers(join(dir, "given"), join(dir, "path"));
    expect(peers).toMatchObject({
      programs: {
        "kata-agent": join(dir, "given", "kata-agent"),
        containerd: join(dir, "path", "containerd"),
      },
      shims: [{ name: "Go", path: join(dir, "path", "containerd-shim-kata-v2") }],
    });
  });

  test("the Rust shim counts only with the snapshotter that it needs", () => {
    place(dir, ...NEEDED, "containerd-shim-kata-rs", "containerd-nydus-grpc");
    place(join(dir, "cni"), "bridge", "host-local", "loopback");
    expect(findPeers(dir, "")).toMatchObject({ shims: [{ name: "Go" }] });
    place(dir, "nydus-overlayfs");
    expect(findPeers(dir, "")).toMatchObject({ shims: [{ name: "Go" }, { name: "Rust" }] });
  });
});

describe("the report", () => {
  const passed = { shim: "Go", name: "a", result: "passed", seen: "1 s", seconds: 1 } as const;

  test("the closing line counts outcomes and what was skipped", () => {
    expect(summary([passed, { ...passed, result: "failed" }], 3)).toBe("1 passed, 1 failed, 3 skipped");
  });

  test("the table has a row per outcome and names the versions", () => {
    const lines = table([passed], new Map([["containerd", "1.6.20"]])).split("\n");
    expect(lines[0]).toBe("With containerd 1.6.20.");
    expect(lines.at(-1)).toBe("| Go | a | passed | 1 s |");
  });

  test("cases are chosen by a part of their name", () => {
    expect(chosen(ALL_CASES, "CONFIGMAP").map(({ name }) => name)).toEqual([
      "a ConfigMap is copied into the pod VM, and again when it changes",
    ]);
    expect(new Set(ALL_CASES.map(({ name }) => name)).size).toBe(ALL_CASES.length);
  });
});
