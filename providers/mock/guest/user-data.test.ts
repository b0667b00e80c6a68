import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Clock, silentLog, systemClock } from "../../../src/platform/index.ts";
import { cloudConfig } from "./test-vm.ts";
import { decodeInitdata, parseCloudConfig, processUserData } from "./user-data.ts";

const fixture = (name: string): Promise<string> =>
  readFile(new URL(`../../../test/fixtures/user-data/${name}`, import.meta.url), "utf8");

const digests = async (): Promise<Record<string, { digest: string }>> =>
  JSON.parse(await fixture("digests.json"));

describe("a cloud-config", () => {
  test("of the Go adaptor gives its files, each with the newline of its block", async () => {
    const files = parseCloudConfig(await fixture("cloud-config.yaml"));
    expect(files.map(({ path }) => path)).toEqual(["/run/peerpod/apf.json", "/run/peerpod/initdata"]);
    expect(files[0]?.content).toBe(`${(await fixture("apf.json")).trimEnd()}\n`);
  });

  test.each([
    ["runcmd: [reboot]", "runcmd"],
    ["write_files: [{path: /run/peerpod/apf.json, content: x, owner: root}]", "owner"],
    ["write_files: [{path: /run/peerpod/apf.json, permissions: '0600'}]", "permissions"],
    ["write_files: [{content: x}]", "path"],
  ])("with another key is refused as the stock image refuses it: %s", (document, key) => {
    expect(() => parseCloudConfig(`#cloud-config\n\n${document}\n`)).toThrow(key);
  });

  test("that is not YAML is refused", () => {
    expect(() => parseCloudConfig("write_files: [")).toThrow("user data is not YAML");
  });

  test("may leave out the content, as the scratch marker does, or everything", () => {
    const marker = "write_files:\n  - path: /run/peerpod/scratch-space.marker\n";
    expect(parseCloudConfig(marker)).toEqual([{ path: "/run/peerpod/scratch-space.marker", content: "" }]);
    expect(parseCloudConfig("#cloud-config\n")).toEqual([]);
  });
});

describe("initdata", () => {
  test.each(["initdata-sha256", "initdata-sha384", "initdata-sha512"])(
    "%s of the stock encoder has the stock digest",
    async (name) => {
      const initdata = decodeInitdata(await fixture(`${name}.gz.b64`));
      expect(initdata.digest).toBe((await digests())[`${name}.toml`]?.digest);
    },
  );

  test.each([
    ["not base64 of gzip", "bm90IGd6aXA="],
    ["nothing", ""],
  ])("that is %s is refused", (_, encoded) => {
    expect(() => decodeInitdata(encoded)).toThrow("initdata is not base64 of gzip of TOML");
  });
});

describe("processing user data", () => {
  let folder: string;
  const signal = new AbortController().signal;
  const deps = { clock: systemClock, log: silentLog };
  const inVm = (path: string): Promise<string> => readFile(join(folder, "vm/run/peerpod", path), "utf8");
  const process = async (document: string): Promise<void> => {
    await writeFile(join(folder, "user-data"), document);
    await processUserData(deps, { source: join(folder, "user-data"), root: join(folder, "vm"), signal });
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "peerpod-user-data-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test("writes the files, the initdata's own and its digest, readable for all", async () => {
    await process(await fixture("cloud-config.yaml"));
    expect(JSON.parse(await inVm("apf.json"))).toMatchObject({ "pod-name": "r2" });
    expect(await inVm("initdata.digest")).toBe((await digests())["initdata-sha384.toml"]?.digest);
    expect(await inVm("aa.toml")).toContain("token_configs");
    expect((await stat(join(folder, "vm/run/peerpod/apf.json"))).mode & 0o777).toBe(0o644);
  });

  test("skips paths that are not on the stock list", async () => {
    await process(
      cloudConfig({ "/etc/shadow": "x", "/run/peerpod/../../etc/x": "x", "/run/peerpod/auth.json": "{}" }),
    );
    expect(await inVm("auth.json")).toBe("{}\n");
    await expect(stat(join(folder, "vm/etc"))).rejects.toThrow("ENOENT");
  });

  test("without initdata leaves the stock dummy's digest", async () => {
    await process(cloudConfig({ "/run/peerpod/apf.json": "{}" }));
    const dummy = Object.entries(await digests()).find(([name]) => name.startsWith("(dummy"))?.[1];
    expect(await inVm("initdata.digest")).toBe(dummy?.digest);
  });

  test("without user data still handles initdata", async () => {
    await processUserData(deps, { source: join(folder, "none"), root: join(folder, "vm"), signal });
    expect(await inVm("initdata.digest")).toHaveLength(64);
  });

  test("tries again after 5 s until the data is whole, and gives up at the tenth try", async () => {
    const source = join(folder, "user-data");
    await writeFile(source, "write_files: [");
    const pauses: number[] = [];
    const clock: Clock = {
      ...systemClock,
      async sleep(ms) {
        pauses.push(ms);
        if (pauses.length === 3) await writeFile(source, cloudConfig({ "/run/peerpod/apf.json": "{}" }));
      },
    };
    const request = { source, root: join(folder, "vm"), signal };
    await processUserData({ clock, log: silentLog }, request);
    expect(pauses).toEqual([5_000, 5_000, 5_000]);
    await writeFile(source, "runcmd: []");
    await expect(processUserData({ clock, log: silentLog }, request)).rejects.toThrow("runcmd");
    expect(pauses).toHaveLength(3 + 9);
  });
});
