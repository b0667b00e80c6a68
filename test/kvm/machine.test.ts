import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { withMonitor } from "../../providers/kvm/monitor.ts";
import { testConfig } from "../../providers/kvm/testing.ts";
import { Secret, silentLog, systemClock } from "../../src/platform/index.ts";
import { kvmHarness } from "./kvm-harness.ts";
import { providePodVmImage, whyNoVms } from "./prepare.ts";
import { never, OWNER, quietly, vmRequest } from "./requests.ts";

// A machine in software emulation takes half a minute of two cores, so not in `make test`.
const wanted = process.env["KVM_MACHINES"] === "1" && whyNoVms() === undefined;
const USER_DATA = new URL("../fixtures/user-data/cloud-config.yaml", import.meta.url);
const LIMIT_MS = 10 * 60_000;

test.skipIf(!wanted)(
  "the pod VM image boots, finds its volume and turns itself off at the power button (needs root, QEMU and KVM_MACHINES=1)",
  { timeout: LIMIT_MS },
  async () => {
    await using kvm = await kvmHarness();
    const provider = kvm.with({ image: providePodVmImage(), memoryMiB: 1024 });
    const userData = new Secret(readFileSync(USER_DATA, "utf8"));
    const vm = await provider.create(vmRequest({ userData }), quietly);
    const console = (): Promise<string> => provider.console(vm, never);
    while (!(await console()).includes("forwarder is listening")) await systemClock.sleep(200);
    const deps = {
      clock: systemClock,
      log: silentLog,
      owner: OWNER,
      host: kvm.host,
      config: testConfig({ dir: kvm.dir }),
    };
    await withMonitor(
      deps,
      vm.name,
      async (qmp) => {
        await qmp.execute("system_powerdown");
        await qmp.untilEnded();
      },
      { signal: never, limitMs: LIMIT_MS },
    );
    expect(await provider.get(vm, never)).toMatchObject({ lifecycle: "stopped" });
    expect(await console()).toContain("the guest ended with status 0");
  },
);
