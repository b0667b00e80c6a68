import { expect, test } from "vitest";
import type { OptionReader, OptionSpec } from "../../providers/contract.ts";
import { vmRevisionOf } from "./vm-revision.ts";

const options: readonly OptionSpec[] = [
  { flag: "image", kind: "string", help: "" },
  { flag: "api-key", kind: "string", help: "", secret: true },
];
const provider = { name: "fake", options };

interface Settings {
  readonly image?: string;
  readonly key?: string;
  readonly external?: boolean;
}

function revision({ image = "one", key = "k", external = false }: Settings): string {
  const values: Readonly<Record<string, string>> = { image, "api-key": key };
  const providerOptions: OptionReader = {
    string: (flag) => values[flag] ?? "",
    secret: () => undefined,
    int: () => undefined,
    bool: () => false,
    list: () => [],
    tags: () => ({}),
    durationMs: () => undefined,
  };
  const network = { externalNetworkViaPodVm: external };
  return vmRevisionOf({ podVm: { sizing: "upstream" }, network, providerOptions }, provider);
}

test("VMs of other settings have another revision, and a new secret changes nothing", () => {
  expect(revision({})).toBe(revision({ key: "another" }));
  expect(revision({ image: "two" })).not.toBe(revision({}));
  expect(revision({ external: true })).not.toBe(revision({}));
});
