import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { main } from "./program.ts";

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const said = { out: "", err: "" };
  const status = await main(args, {
    env,
    out: (text) => {
      said.out += text;
    },
    err: (text) => {
      said.err += text;
    },
  });
  return { status, ...said };
}

test("version is the package's", async () => {
  const { version } = JSON.parse(await readFile("package.json", "utf8"));
  for (const word of ["version", "--version", "-version"]) {
    expect(await run([word])).toEqual({
      status: 0,
      out: `cloud-api-adaptor ${version} (Node ${process.version})\n`,
      err: "",
    });
  }
});

test("help lists every command", async () => {
  for (const word of ["help", "-h", "-help", "--help"]) {
    const { status, out } = await run([word]);
    expect(status).toBe(0);
    expect(out).toContain("Usage: cloud-api-adaptor COMMAND [flags]");
    expect(out).toMatch(/^ {2}shim-proxy {2}/m);
    expect(out).toMatch(/^ {2}mock-cloud {2}/m);
  }
});

test("a command's help names flag, variable, default and form of each option", async () => {
  for (const args of [
    ["shim-proxy", "--help"],
    ["shim-proxy", "-h"],
    ["help", "shim-proxy"],
  ]) {
    const { status, out } = await run(args);
    expect(status).toBe(0);
    expect(out).toContain("Usage: cloud-api-adaptor shim-proxy [flags]");
    expect(out).toMatch(
      /-hold-timeout DURATION\n {8}How long .*\.\s+\[variable\s+PEERPODS_HOLD_TIMEOUT; default 10m\]/,
    );
  }
});

test("without a command and without CLOUD_PROVIDER the usage is shown, with status 2", async () => {
  const { status, out, err } = await run([]);
  expect({ status, out }).toEqual({ status: 2, out: "" });
  expect(err).toContain("Usage:");
});

test("CLOUD_PROVIDER stands for a missing command, also before flags; an argument wins over it", async () => {
  const env = { CLOUD_PROVIDER: "shim-proxy" };
  expect((await run(["-help"], { CLOUD_PROVIDER: "aws" })).out).toContain("COMMAND");
  expect(await run(["-nosuch"], env)).toMatchObject({ status: 2, err: expect.stringContaining("'-nosuch'") });
  expect((await run(["aws"], env)).err).toContain("provider aws");
  expect((await run([], { CLOUD_PROVIDER: "gcp" })).err).toContain(
    "provider gcp (Google Cloud) is not in this build",
  );
});

test("a provider that is not there is named together with those that are", async () => {
  for (const name of ["aws", "libvirt", "ibmcloud-powervs", "ibmcloudpowervs", "byom"]) {
    const { status, err } = await run([name]);
    expect(status).toBe(2);
    expect(err).toMatch(
      new RegExp(`provider ${name} \\(.*\\) is not in this build; this build has: .*shim-proxy`),
    );
  }
});

test("a mistyped command is answered with the nearest one", async () => {
  for (const name of ["shimproxy", "shim-porxy", "mock-clod", "Mock-Cloud"]) {
    expect((await run([name])).err).toMatch(/did you mean (shim-proxy|mock-cloud)\?/);
  }
  expect((await run(["constructor"])).err).toContain('there is no command "constructor"');
});

test("a wrong flag or setting ends with status 2 and starts nothing", async () => {
  expect(await run(["shim-proxy", "-hold-timeout"])).toMatchObject({
    status: 2,
    err: expect.stringContaining("flag -hold-timeout needs a value"),
  });
  expect(await run(["shim-proxy"], { PEERPODS_HOLD_TIMEOUT: "5", PEERPODS_LOG_LEVEL: "loud" })).toEqual({
    status: 2,
    out: "",
    err: [
      "cloud-api-adaptor: 2 settings are wrong:",
      "- PEERPODS_HOLD_TIMEOUT=5: expected a Go duration such as 300ms, 90s, 5m or 1h30m: the unit is missing",
      "- PEERPODS_LOG_LEVEL=loud: expected debug or info or warn or error",
      "",
    ].join("\n"),
  });
});
