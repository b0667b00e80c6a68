import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemExec } from "../../../src/platform/index.ts";
import { findImage, normaliseImageName } from "./agent/images.ts";
import { applyLayer } from "./agent/unpack.ts";
import { makeOciLayout } from "./make-image.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "peerpod-image-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const files = { "/etc/motd": { content: "hello\n" }, "/bin/run": { content: "#!/bin/sh\n", mode: 0o755 } };

test.each([
  ["busybox", "docker.io/library/busybox:latest"],
  ["user/app:1.0", "docker.io/user/app:1.0"],
  ["quay.io/a/b", "quay.io/a/b:latest"],
  ["localhost:5000/a", "localhost:5000/a:latest"],
  ["a/b@sha256:00", "docker.io/a/b@sha256:00"],
])("the full name of %s is %s", (name, full) => {
  expect(normaliseImageName(name)).toBe(full);
});

describe("an image made here", () => {
  test("is found by any form of its name and by its digest, and unpacks to its files", async () => {
    const digest = await makeOciLayout(systemExec, join(folder, "images/one"), {
      name: "demo/app",
      contents: { files },
    });
    const rootfs = join(folder, "rootfs");
    mkdirSync(rootfs);
    for (const name of ["docker.io/demo/app:latest", "demo/app", `demo/app@${digest}`]) {
      expect(await findImage(join(folder, "images"), name)).toHaveLength(1);
    }
    for (const layer of await findImage(join(folder, "images"), "demo/app")) {
      await applyLayer({ exec: systemExec, privileged: false }, rootfs, layer);
    }
    expect(readFileSync(join(rootfs, "etc/motd"), "utf8")).toBe("hello\n");
    await expect(findImage(join(folder, "images"), "demo/app:2")).rejects.toThrow(
      "docker.io/demo/app:latest",
    );
  });

  test("is the same bytes each time, and never overwrites another", async () => {
    const image = { name: "demo/app", contents: { files } };
    const digests = [
      await makeOciLayout(systemExec, join(folder, "a"), image),
      await makeOciLayout(systemExec, join(folder, "b"), image),
    ];
    expect(digests[0]).toBe(digests[1]);
    await expect(makeOciLayout(systemExec, join(folder, "a"), image)).rejects.toThrow(
      "holds an image already",
    );
  });

  test.skipIf(!existsSync("/usr/bin/skopeo"))("is an OCI image to other tools (needs skopeo)", async () => {
    await makeOciLayout(systemExec, join(folder, "image"), { name: "demo/app", contents: { files } });
    const inspected = execFileSync("skopeo", [
      "inspect",
      `oci:${join(folder, "image")}:docker.io/demo/app:latest`,
    ]);
    expect(JSON.parse(inspected.toString())).toMatchObject({
      Os: "linux",
      Layers: [expect.stringMatching(/^sha256:/)],
    });
  });
});
