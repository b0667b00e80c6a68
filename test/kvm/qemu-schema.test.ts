import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { Duplex } from "node:stream";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { qemuCommand } from "../../providers/kvm/qemu-arguments.ts";
import { Qmp } from "../../providers/kvm/qmp.ts";
import { PLANS } from "../../providers/kvm/testing-plans.ts";

// What we tell QEMU, against what the QEMU of this machine says of itself.

/** Types that came after the QEMU of Debian 12 (7.2), and the release that QEMU's documentation names. */
const NEWER: Readonly<Record<string, string>> = { "sev-snp-guest": "9.1", "tdx-guest": "10.1" };

const Entry = v.object({
  name: v.string(),
  "arg-type": v.optional(v.string()),
  variants: v.optional(v.array(v.object({ case: v.string(), type: v.string() }))),
  members: v.optional(v.array(v.object({ name: v.optional(v.string(), "") }))),
});
const Properties = v.array(v.object({ name: v.string() }));

/** One QEMU that runs no machine and answers questions. */
class Introspection {
  readonly #qmp: Qmp;
  readonly #end: () => Promise<void>;
  #schema: ReadonlyMap<string, v.InferOutput<typeof Entry>> = new Map();

  private constructor(qmp: Qmp, end: () => Promise<void>) {
    this.#qmp = qmp;
    this.#end = end;
  }

  static async open(program: string): Promise<Introspection> {
    const flags = ["-machine", "none", "-nodefaults", "-display", "none", "-qmp", "stdio"];
    const child = spawn(program, flags, { stdio: ["pipe", "pipe", "inherit"] });
    const exited = once(child, "exit");
    const end = async (): Promise<void> => {
      child.kill("SIGKILL");
      await exited;
    };
    await using undo = new AsyncDisposableStack();
    undo.defer(end);
    const qmp = await Qmp.open(Duplex.from({ readable: child.stdout, writable: child.stdin }));
    const opened = new Introspection(qmp, end);
    const entries = v.parse(v.array(Entry), await qmp.execute("query-qmp-schema"));
    opened.#schema = new Map(entries.map((entry) => [entry.name, entry]));
    undo.move();
    return opened;
  }

  /** Names of members that an object or block driver may have; undefined when QEMU does not know the type. */
  members(command: string, kind: string): ReadonlySet<string> | undefined {
    const argument = this.#schema.get(this.#schema.get(command)?.["arg-type"] ?? "");
    const variant = argument?.variants?.find((each) => each.case === kind);
    if (argument === undefined || variant === undefined) return undefined;
    const own = this.#schema.get(variant.type)?.members ?? [];
    return new Set([...(argument.members ?? []), ...own].map(({ name }) => name));
  }

  async deviceProperties(typename: string): Promise<ReadonlySet<string>> {
    const answer = await this.#qmp.execute("device-list-properties", { typename });
    return new Set(v.parse(Properties, answer).map(({ name }) => name));
  }

  async machineProperties(typename: string): Promise<ReadonlySet<string>> {
    const answer = await this.#qmp.execute("qom-list-properties", { typename });
    return new Set(v.parse(Properties, answer).map(({ name }) => name));
  }

  close(): Promise<void> {
    return this.#end();
  }
}

/** The values of an option that a command has. */
const valuesOf = (command: readonly string[], option: string): readonly string[] =>
  command.flatMap((word, at) => (word === option ? [command[at + 1] ?? ""] : []));

const JsonObject = v.record(v.string(), v.unknown());
const asObject = (text: string): Record<string, unknown> => v.parse(JsonObject, JSON.parse(text));

/** `model,key=value,...`: the model, and the keys. */
function parts(text: string): { readonly model: string; readonly keys: readonly string[] } {
  const [model = "", ...rest] = text.split(",");
  return { model, keys: rest.map((pair) => pair.split("=")[0] ?? "") };
}

const MACHINES = {
  x86_64: { program: "/usr/bin/qemu-system-x86_64", machine: "pc-q35-7.2-machine" },
  s390x: { program: "/usr/bin/qemu-system-s390x", machine: "s390-ccw-virtio-7.2-machine" },
} as const;

describe.each(["x86_64", "s390x"] as const)("QEMU of this machine, for %s", (arch) => {
  const { program, machine } = MACHINES[arch];
  const isThere = existsSync(program);
  const plans = Object.entries(PLANS).filter(([, plan]) => plan.arch === arch);
  let opened: Introspection | undefined;
  const ask = (): Introspection => {
    if (opened === undefined) throw new Error(`${program} was not started`);
    return opened;
  };
  beforeAll(async () => {
    if (isThere) opened = await Introspection.open(program);
  });
  afterAll(async () => {
    await opened?.close();
  });

  test.skipIf(!isThere).each(plans)(
    `knows every object, block device and device of %s (needs ${program})`,
    async (name, plan) => {
      const command = qemuCommand(plan);
      for (const object of valuesOf(command, "-object").map(asObject)) {
        const kind = String(object["qom-type"]);
        const known = ask().members("object-add", kind);
        if (known === undefined) expect(NEWER, `${name}: object ${kind}`).toHaveProperty(kind);
        else for (const key of Object.keys(object)) expect(known, `${name}: ${kind}`).toContain(key);
      }
      for (const block of valuesOf(command, "-blockdev").map(asObject)) {
        const driver = String(block["driver"]);
        const known = ask().members("blockdev-add", driver);
        for (const key of Object.keys(block)) expect(known, `${name}: ${driver}`).toContain(key);
      }
      for (const { model, keys } of valuesOf(command, "-device").map(parts)) {
        const known = await ask().deviceProperties(model);
        for (const key of keys) expect(known, `${name}: ${model}`).toContain(key);
      }
    },
  );

  test.skipIf(!isThere).each(plans)(
    `knows every property of the machine of %s (needs ${program})`,
    async (_name, plan) => {
      const [value = ""] = valuesOf(qemuCommand(plan), "-machine");
      const known = await ask().machineProperties(machine);
      for (const key of parts(value).keys) expect(known).toContain(key);
    },
  );
});
