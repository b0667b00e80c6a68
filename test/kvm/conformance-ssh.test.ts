import { describe, expect, test } from "vitest";
import { describeProviderConformance, type ProviderHarness } from "../../providers/conformance/index.ts";
import { readScripts, SshHost } from "../../providers/kvm/host/index.ts";
import { quoted } from "../../providers/kvm/host/ssh-command.ts";
import { systemExec } from "../../src/platform/index.ts";
import { kvmHarness } from "./kvm-harness.ts";
import { TestSshd, whyNoSsh } from "./sshd.ts";

async function overSsh(): Promise<ProviderHarness> {
  let sshd: TestSshd | undefined;
  const harness = await kvmHarness(async (exec, dir, inside) => {
    sshd = new TestSshd(dir, inside);
    await sshd.start();
    return new SshHost(exec, await readScripts(), sshd.target);
  });
  return {
    cloud: harness.cloud,
    provider: (settings) => harness.provider(settings),
    async [Symbol.asyncDispose]() {
      await harness[Symbol.asyncDispose]();
      await sshd?.breakConnections();
    },
  };
}

describeProviderConformance("kvm, real QEMU on a host over SSH", overSsh, whyNoSsh());

describe("a word for another machine's shell", () => {
  test.each(["plain", "", "two words", "it's", "$(reboot)", "`reboot`", "a\nb", "'\\''", '"', "-o"])(
    "%j arrives as it is",
    async (word) => {
      const { stdout } = await systemExec.run(["sh", "-c", `printf %s ${quoted(word)}`]);
      expect(stdout).toBe(word);
    },
  );
});
