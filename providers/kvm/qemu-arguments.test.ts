import { readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { qemuCommand } from "./qemu-arguments.ts";
import { PLANS } from "./testing-plans.ts";

/** One argument a line, an option's name and its value together. */
function readable(command: readonly string[]): string {
  return `${command.join("\n").replaceAll(/^(-\S+)\n(?!-)/gm, "$1 ")}\n`;
}

test.each(Object.entries(PLANS))(
  "QEMU's command for %s is the golden file's (UPDATE_GOLDEN=1 writes it)",
  async (name, plan) => {
    const file = new URL(`../../test/fixtures/kvm/${name}.txt`, import.meta.url);
    const command = readable(qemuCommand(plan));
    if (process.env["UPDATE_GOLDEN"] === "1") await writeFile(file, command);
    expect(await readFile(file, "utf8")).toBe(command);
  },
);

test("a report's host data is the initdata's digest, as a verifier computes it", () => {
  const digest = /"digest": "([0-9a-f]+)"/.exec(
    readFileSync(new URL("../../test/fixtures/user-data/digests.json", import.meta.url), "utf8").replace(
      /.*"initdata-sha384.toml"/s,
      "",
    ),
  )?.[1];
  const bytes = Buffer.from(digest ?? "", "hex");
  expect(bytes.length).toBe(48);
  const command = (name: string): string => (PLANS[name] ? qemuCommand(PLANS[name]).join(" ") : "");
  // 32 bytes fit in an SNP report, 48 in a TDX quote.
  expect(command("x86-sev-snp")).toContain(`"host-data":"${bytes.subarray(0, 32).toString("base64")}"`);
  expect(command("x86-tdx")).toContain(`"mrconfigid":"${bytes.toString("base64")}"`);
  expect(command("x86-sev-snp-kernel")).not.toContain("host-data");
});

test("nothing of the command of a confidential VM lets the host read what the guest does not share", () => {
  for (const [name, plan] of Object.entries(PLANS)) {
    if (plan.config.launchSecurity === undefined) continue;
    const devices = qemuCommand(plan).filter((word) => word.startsWith("virtio-"));
    expect(devices.length, name).toBeGreaterThan(2);
    for (const device of devices) expect(device).toContain("iommu_platform=on");
  }
});
