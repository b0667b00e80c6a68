// `make test-kvm`: all that is there of the kvm provider, with real QEMU.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ROOT } from "../node/child.ts";
import { providePodVmImage, provideQemu } from "./prepare.ts";

/** Scenarios of the crash matrix: each boots a machine or two. */
const SCENARIOS = 6;

function run(file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): boolean {
  console.log(`\n--- ${file} ${args.join(" ")}`);
  const flags = ["--disable-warning=ExperimentalWarning", join(ROOT, file), ...args];
  return (
    spawnSync(process.execPath, flags, { stdio: "inherit", env: { ...process.env, ...env } }).status === 0
  );
}

const reason = provideQemu();
if (reason !== undefined) {
  console.error(`test-kvm ${reason}`);
  process.exit(2);
}
providePodVmImage();
const passed = [
  run("test/run.ts", ["providers/kvm", "test/kvm"], { KVM_MACHINES: "1" }),
  run("test/demo/main.ts", [], { PROVIDER: "kvm" }),
  run("test/crash-matrix/main.ts", ["--provider=kvm", `--sample=${SCENARIOS}`]),
];
console.log(`\n${passed.filter(Boolean).length} passed, ${passed.filter((each) => !each).length} failed`);
process.exit(passed.every(Boolean) ? 0 : 1);
