import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { build } from "../../deploy/bundle/bundle.ts";
import { noticesOf } from "../../deploy/bundle/notices.ts";
import { commandSummaries } from "../../src/cli/commands.ts";
import { main } from "../../src/cli/program.ts";
import { systemExec } from "../../src/platform/index.ts";
import { ROOT } from "../node/child.ts";
import { ChunkGraph } from "./chunk-graph.ts";

const START = ["src/cli/main.ts", "src/cli/program.ts", "src/cli/crash-output.ts"];
const UNTIL_LISTENING = [...START, "src/cli/run-shim-proxy.ts"];
const SHIM_PROXY = [...UNTIL_LISTENING, "src/cli/serve-shims.ts", "src/shim-proxy/data-plane.ts"];
const MOCK_ADAPTOR = [...START, "providers/mock/index.ts", "src/adaptor/index.ts"];

describe("the bundle", () => {
  let root = "";
  let chunks: Awaited<ReturnType<typeof build>> = [];

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "peerpods-bundle-"));
    chunks = await build(ROOT, join(root, "dist/program"));
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  const run = (...args: readonly string[]) =>
    systemExec.run([process.execPath, join(root, "dist/program/main.mjs"), ...args]);

  test("the shim-proxy loads little before shims can connect, and none of it is a package", () => {
    const { bytes, packages, folders } = new ChunkGraph(chunks).loadedWith(UNTIL_LISTENING);
    expect(packages).toEqual([]);
    expect(folders).not.toContain("src/gen");
    expect(bytes).toBeLessThan(120_000);
  });

  test("a shim-proxy loads the packages that speak, log and decode, and nothing of a cloud or of Kubernetes", () => {
    const { packages, folders } = new ChunkGraph(chunks).loadedWith(SHIM_PROXY);
    expect(packages).toEqual(expect.arrayContaining(["@bufbuild/protobuf", "@grpc/grpc-js", "pino"]));
    expect(
      packages.filter((name) => /azure|ibm|kubernetes|prom-client|valibot|yaml|undici/.test(name)),
    ).toEqual([]);
    expect(folders.filter((folder) => /^providers|kubernetes|journal|adaptor/.test(folder))).toEqual([
      "providers/selection",
    ]);
  });

  test("an adaptor of the mock loads no other provider, no SDK and no client of Kubernetes", () => {
    const { packages, folders } = new ChunkGraph(chunks).loadedWith(MOCK_ADAPTOR);
    expect(packages.filter((name) => /azure|ibm|@kubernetes|prom-client|undici|axios/.test(name))).toEqual(
      [],
    );
    expect(folders.filter((folder) => folder.startsWith("providers/"))).toEqual([
      "providers/mock",
      "providers/redaction",
      "providers/retry",
      "providers/selection",
    ]);
  });

  test("every command is in it, and says the same of itself as from the sources", async () => {
    for (const { name } of commandSummaries()) {
      const said: string[] = [];
      const terminal = { env: {}, out: (text: string) => void said.push(text), err: () => undefined };
      expect(await main(["help", ...name.split(" ")], terminal)).toBe(0);
      expect(await run("help", ...name.split(" ")), name).toMatchObject({ code: 0, stdout: said.join("") });
    }
  });

  test("every file of it can be loaded: SDKs of clouds and Kubernetes' client too", async () => {
    const files = chunks.filter(({ isEntry }) => !isEntry).map(({ fileName }) => fileName);
    const program = files.map((name) => `await import("./${name}");`).join("\n");
    await writeFile(join(root, "dist/program/all.mjs"), program);
    const { code, stderr } = await systemExec.run([process.execPath, join(root, "dist/program/all.mjs")]);
    expect(stderr.replaceAll(/.*Warning.*\n/g, "")).toBe("");
    expect(code).toBe(0);
    expect(files.length).toBeGreaterThan(50);
  });

  test("commands work from it: version, initdata, doctor", async () => {
    await cp(join(ROOT, "package.json"), join(root, "package.json"));
    expect(await run("version")).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^cloud-api-adaptor \d/),
    });
    const initdata = join(ROOT, "test/fixtures/user-data/initdata-sha384.toml");
    const encoded = await run("initdata", "encode", initdata);
    await writeFile(join(root, "initdata"), encoded.stdout);
    const decoded = await run("initdata", "decode", join(root, "initdata"));
    expect(decoded).toMatchObject({ code: 0, stdout: await readFile(initdata, "utf8") });
    const { stdout } = await run("doctor", "mock", "-json");
    expect(JSON.parse(stdout)).toEqual(expect.arrayContaining([expect.objectContaining({ level: "ok" })]));
  });

  test("a probe loads a few kilobytes", () => {
    const { bytes, folders } = new ChunkGraph(chunks).loadedWith(["src/cli/main.ts"]);
    expect(folders).toEqual(["src/admin", "src/cli", "src/errors"]);
    expect(bytes).toBeLessThan(15_000);
  });

  test("no module of Node is imported: they are plain objects", () => {
    for (const { fileName, code } of chunks) expect(code, fileName).not.toMatch(/^import .* from "node:/m);
  });

  test("the notices name every package in it, with a licence", async () => {
    const { packages, text } = await noticesOf(ROOT, chunks);
    const inChunks = new Set(
      chunks.flatMap(({ modules }) =>
        Object.entries(modules).flatMap(([id, { renderedLength }]) =>
          renderedLength > 0 ? (/.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(id)?.[1] ?? []) : [],
        ),
      ),
    );
    expect(new Set(packages.map((entry) => entry.replace(/ \S+$/, "")))).toEqual(inChunks);
    for (const part of text
      .split(`${"-".repeat(80)}`)
      .slice(1)
      .filter((one) => one.trim() !== ""))
      expect(part.trim()).toMatch(/licen[cs]e|MIT|Apache|BSD|ISC|0BSD|Unlicense/i);
  });

  test("an error's stack names functions, files and lines", async () => {
    await rm(join(root, "package.json"), { force: true });
    const { code, stderr } = await run("version");
    expect(code).toBe(1);
    expect(stderr).toMatch(/at async programVersion \(file:\S+\/commands\.mjs:\d+:\d+\)/);
    expect(stderr).toMatch(/at async dispatch \(file:\S+\/commands\.mjs:\d+:\d+\)/);
  });
});
