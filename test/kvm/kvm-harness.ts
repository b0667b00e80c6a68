import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Duplex } from "node:stream";
import type {
  CallKind,
  CloudFault,
  CloudFaultKind,
  ProviderHarness,
  SeenCall,
} from "../../providers/conformance/index.ts";
import type { OwnerIdentity } from "../../providers/contract.ts";
import type { KvmConfig } from "../../providers/kvm/config.ts";
import {
  type HostCall,
  type KvmHost,
  LocalHost,
  readScripts,
  type ScriptName,
} from "../../providers/kvm/host/index.ts";
import { KvmProvider } from "../../providers/kvm/provider.ts";
import { testConfig } from "../../providers/kvm/testing.ts";
import type { Exec, ExecResult } from "../../src/platform/index.ts";
import { silentLog, systemClock, systemExec } from "../../src/platform/index.ts";
import { kvmResources } from "./residue.ts";

const BRIDGE = "ppkbr0";

const KINDS: Readonly<Record<ScriptName, CallKind>> = {
  claim: "create",
  start: "create",
  inspect: "read",
  remove: "delete",
  console: "other",
  facts: "read",
  probe: "other",
};

const failed = (code: number, stderr: string): ExecResult => ({ code, stdout: "", stderr });
/** What such a host says, in the words of its scripts, of QEMU, of mkdir and of ssh. */
const ANSWERS: Readonly<Record<Exclude<CloudFaultKind, "lost" | "hang" | "throttled">, ExecResult>> = {
  quota: failed(22, "768 MiB more would be 8448 MiB for pod VMs, KVM_MAX_MEMORY is 8192"),
  capacity: failed(1, "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory"),
  unauthorised: failed(1, "mkdir: cannot create directory '/var/lib/peerpods/kvm': Permission denied"),
  unavailable: failed(255, "ssh: connect to host kvm1 port 22: No route to host"),
};
const CUT = failed(255, "client_loop: send disconnect: Broken pipe");

interface Pending extends CloudFault {
  left: number;
  toSkip: number;
}

/** The real machine, whose calls a test may see, hold and let fail. */
export class ControlledHost implements KvmHost {
  readonly label = "this machine";
  readonly #real: KvmHost;
  readonly seen: SeenCall[] = [];
  faults: Pending[] = [];
  /** The next call of this script gets half of its input. */
  cutInputOf: ScriptName | undefined;
  /** The next QEMU does not start. */
  breakNext = false;
  intercepted: { number: number; moment: string; hook: () => Promise<"go" | "drop"> } | undefined;

  constructor(real: KvmHost) {
    this.#real = real;
  }

  async run(call: HostCall, signal: AbortSignal): Promise<ExecResult> {
    const kind = KINDS[call.script];
    const fault = this.#faultFor(kind);
    const number = this.seen.length;
    this.seen.push({ kind, atMs: performance.now(), fault: fault?.kind });
    if ((await this.#verdict(number, "before")) === "drop") return CUT;
    if (fault?.kind === "hang") return await hang(signal);
    if (fault !== undefined && fault.kind !== "lost" && fault.kind !== "throttled")
      return ANSWERS[fault.kind];
    const result = await this.#real.run(this.#spoilt(this.#cutOff(call)), signal);
    if (fault?.kind === "lost" || (await this.#verdict(number, "after")) === "drop") return CUT;
    return result;
  }

  dial(path: string, signal: AbortSignal): Promise<Duplex> {
    return this.#real.dial(path, signal);
  }

  async close(): Promise<void> {
    // Adaptors end, and their machine goes on.
  }

  async end(): Promise<void> {
    await this.#real.close();
  }

  /** What a script has read when its caller was killed. */
  #cutOff(call: HostCall): HostCall {
    if (this.cutInputOf !== call.script || call.input === undefined) return call;
    this.cutInputOf = undefined;
    return { ...call, input: call.input.slice(0, call.input.length / 2) };
  }

  /** A device that no QEMU has. */
  #spoilt(call: HostCall): HostCall {
    if (!this.breakNext || call.script !== "start") return call;
    this.breakNext = false;
    return { ...call, args: [...(call.args ?? []), "-device", "nothing"] };
  }

  #faultFor(kind: CallKind): Pending | undefined {
    const fault = this.faults.find(({ on, left }) => left > 0 && (on === "any" || on === kind));
    if (fault === undefined) return undefined;
    if (fault.toSkip > 0) {
      fault.toSkip -= 1;
      return undefined;
    }
    fault.left -= 1;
    return fault;
  }

  async #verdict(number: number, moment: string): Promise<"go" | "drop"> {
    const held = this.intercepted;
    return held?.number === number && held.moment === moment ? await held.hook() : "go";
  }
}

const hang = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    const give = (): void => reject(signal.reason);
    if (signal.aborted) give();
    else signal.addEventListener("abort", give, { once: true });
  });

/** A boot sector that writes "booted" to the serial port and then sleeps for ever: a VM that costs next to nothing. */
function sleepingImage(): Buffer {
  const text = "booted\r\n";
  // mov si,text; mov dx,0x3f8; next: lodsb; test al,al; jz sleep; out dx,al; jmp next; sleep: hlt; jmp sleep
  const code = [
    0xbe, 0x14, 0x7c, 0xba, 0xf8, 0x03, 0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8, 0xf4, 0xeb, 0xfd,
  ];
  const disk = Buffer.alloc(1024 * 1024);
  Buffer.from(code).copy(disk);
  disk.write(`${text}\0`, 0x14);
  disk.writeUInt16LE(0xaa55, 510);
  return disk;
}

const configFor = (dir: string): KvmConfig =>
  testConfig({
    dir: join(dir, "kvm"),
    image: "sleeper.img",
    imagesDir: join(dir, "images"),
    vcpus: 1,
    memoryMiB: 64,
    overheadMiB: 32,
    network: { ...testConfig().network, bridge: BRIDGE },
    // The sleeper has no power button.
    stopTimeoutMs: 0,
  });

/** A network namespace, named after the folder. */
function makeNetns(dir: string): string {
  const name = basename(dir);
  execFileSync("ip", ["netns", "add", name]);
  execFileSync("nsenter", [`--net=/run/netns/${name}`, "--", "ip", "link", "set", "lo", "up"]);
  return name;
}

const inNetns = (name: string): Exec => ({
  run: (argv, options) => systemExec.run(["nsenter", `--net=/run/netns/${name}`, "--", ...argv], options),
});

export interface KvmHarness extends ProviderHarness {
  /** KVM_DIR. */
  readonly dir: string;
  /** What leads a command into the network of the VMs. */
  readonly inside: readonly string[];
  readonly host: ControlledHost;
  /** An adaptor with other settings. */
  with(changes: Partial<KvmConfig>): KvmProvider;
}

/** An empty folder on this machine whose VMs are real QEMU processes. Their network is a namespace of its own. */
export async function kvmHarness(
  openHost: (exec: Exec, dir: string, inside: readonly string[]) => Promise<KvmHost> = async (exec) =>
    new LocalHost(exec, await readScripts()),
): Promise<KvmHarness> {
  const dir = mkdtempSync(join(tmpdir(), "ppk-"));
  mkdirSync(join(dir, "images"));
  const image = join(dir, "images", "sleeper.img");
  writeFileSync(image, sleepingImage());
  const netns = makeNetns(dir);
  const inside = ["nsenter", `--net=/run/netns/${netns}`, "--"];
  const host = new ControlledHost(await openHost(inNetns(netns), dir, inside));
  const vmNames = (): readonly string[] => {
    const names = ["vms", "gone"].flatMap((name) => {
      const path = join(dir, "kvm", name);
      return existsSync(path) ? readdirSync(path) : [];
    });
    return names.sort();
  };
  const adaptor = (owner: OwnerIdentity, changes: Partial<KvmConfig>): KvmProvider =>
    new KvmProvider({
      clock: systemClock,
      log: silentLog,
      owner,
      config: { ...configFor(dir), ...changes },
      host,
    });
  return {
    dir: join(dir, "kvm"),
    inside,
    host,
    with: (changes) => adaptor({ clusterId: "cluster-a", nodeName: "node-1" }, changes),
    cloud: {
      // Nobody counts the calls of one's own machine.
      lacks: ["throttled"],
      async fault(fault) {
        host.faults.push({ ...fault, left: fault.count ?? 1, toSkip: fault.skip ?? 0 });
      },
      async clearFaults() {
        host.faults = [];
      },
      calls: () => host.seen,
      intercept(call, hook) {
        host.intercepted = call && { number: host.seen.length + call.number, moment: call.moment, hook };
      },
      resources: async () => kvmResources(join(dir, "kvm"), inside),
      vmNames: async () => vmNames(),
      async failNextBoot() {
        host.breakNext = true;
      },
      async vanish(name) {
        const pid = readFileSync(join(dir, "kvm/vms", name, "qemu.pid"), "utf8").trim();
        execFileSync("kill", ["-KILL", pid]);
        rmSync(join(dir, "kvm/vms", name), { recursive: true });
      },
    },
    async provider({ owner, userTags = {} }) {
      return adaptor(owner, { tags: userTags });
    },
    async [Symbol.asyncDispose]() {
      host.faults = [];
      const provider = adaptor({ clusterId: "", nodeName: "" }, {});
      for (const name of vmNames()) await provider.delete({ name }, new AbortController().signal);
      await host.end();
      execFileSync("ip", ["netns", "delete", netns]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
