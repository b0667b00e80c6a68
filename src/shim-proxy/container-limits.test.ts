import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CreateContainerRequest } from "../gen/agent/agent.ts";
import { type LinuxResources, Spec } from "../gen/agent/oci.ts";
import { decodeRequest } from "../ttrpc/index.ts";
import { rewriteCreateContainer } from "./create-container.ts";

const KEY = "io.katacontainers.peerpods.limits";
const CONTAINERD = {
  "io.kubernetes.cri.container-type": "container",
  "io.kubernetes.cri.container-name": "c0",
};
const CRIO = { "io.kubernetes.cri-o.ContainerType": "container", "io.kubernetes.container.name": "c0" };
const LIMITS = JSON.stringify({
  c0: { cpuMillis: 1500, memoryBytes: 67_108_864, epcMiB: 10 },
  c1: { cpuMillis: 1 },
});

interface Outcome {
  /** Whether the agent gets the annotation. */
  readonly told: boolean;
  readonly resources: LinuxResources | undefined;
  readonly changed: boolean;
  readonly problems: readonly string[];
}

function create(
  annotations: Record<string, string>,
  linux: Parameters<typeof Spec.create>[0] = { Linux: {} },
): Outcome {
  const OCI = Spec.create({ ...linux, Annotations: annotations });
  const before = CreateContainerRequest.encode(
    CreateContainerRequest.create({ containerId: "c", OCI }),
  ).finish();
  const problems: string[] = [];
  const payload = rewriteCreateContainer(before, [], (text) => problems.push(text));
  const after = CreateContainerRequest.decode(payload ?? before);
  const told = after.OCI?.Annotations[KEY] !== undefined;
  return { told, resources: after.OCI?.Linux?.Resources, changed: payload !== undefined, problems };
}

describe("a container whose limits the webhook took off", () => {
  test.each([
    ["containerd", CONTAINERD],
    ["CRI-O", CRIO],
  ])("of %s gets them back", (_runtime, names) => {
    const { resources } = create({ ...names, [KEY]: LIMITS });
    expect(resources?.CPU).toMatchObject({ Quota: 150_000n, Period: 100_000n });
    expect(resources?.Memory?.Limit).toBe(67_108_864n);
  });

  test("that are beyond what a call can hold gets the most, and the call goes on", () => {
    const text = JSON.stringify({ c0: { cpuMillis: Number.MAX_SAFE_INTEGER } });
    const own = { Linux: { Resources: { CPU: { Period: 2n ** 63n } } } };
    expect(create({ ...CONTAINERD, [KEY]: text }, own).resources?.CPU?.Quota).toBe(2n ** 63n - 1n);
  });

  test("gets each in the period that it was given, and no less than the kernel takes", () => {
    const own = { Linux: { Resources: { CPU: { Period: 50_000n, Shares: 2n } } } };
    expect(create({ ...CONTAINERD, [KEY]: LIMITS }, own).resources?.CPU).toMatchObject({
      Quota: 75_000n,
      Period: 50_000n,
      Shares: 2n,
    });
    const c1 = { ...CONTAINERD, "io.kubernetes.cri.container-name": "c1" };
    expect(create({ ...c1, [KEY]: LIMITS }).resources).toMatchObject({ CPU: { Quota: 1000n } });
    expect(create({ ...c1, [KEY]: LIMITS }).resources?.Memory).toBeUndefined();
  });

  test("keeps what its specification says", () => {
    const own = {
      Linux: { Resources: { CPU: { Quota: 10_000n, Period: 100_000n }, Memory: { Limit: 1n } } },
    };
    const { resources } = create({ ...CONTAINERD, [KEY]: LIMITS }, own);
    expect(resources).toMatchObject(own.Linux.Resources);
  });

  test("has no limits when it is the sandbox's, is not named, or has no name; none is a problem", () => {
    const none = { resources: undefined, told: false, problems: [] };
    const sandbox = { ...CONTAINERD, "io.kubernetes.cri.container-type": "sandbox" };
    expect(create({ ...sandbox, [KEY]: LIMITS })).toMatchObject(none);
    const other = { ...CONTAINERD, "io.kubernetes.cri.container-name": "toString" };
    expect(create({ ...other, [KEY]: LIMITS })).toMatchObject(none);
    expect(create({ [KEY]: LIMITS })).toMatchObject(none);
    expect(create({ ...CONTAINERD, [KEY]: LIMITS }, {})).toMatchObject({
      resources: undefined,
      problems: [],
    });
  });

  test("without the annotation passes unchanged", () => {
    expect(create(CONTAINERD)).toMatchObject({ changed: false, problems: [] });
  });

  test("takes the annotation along only if it tells of enclave memory of its own", () => {
    expect(create({ ...CONTAINERD, [KEY]: LIMITS }).told).toBe(true);
    const c1 = { ...CONTAINERD, "io.kubernetes.cri.container-name": "c1" };
    expect(create({ ...c1, [KEY]: LIMITS }).told).toBe(false);
  });

  test.each([
    ["{", /it is not JSON/],
    ["[]", /it is no JSON object/],
    ['{"c0":1}', /container c0 has no JSON object/],
    ['{"c0":{"cpuMillis":"1"}}', /cpuMillis of container c0 is no whole number/],
    ['{"c0":{"memoryBytes":-1}}', /memoryBytes of container c0 is no whole number/],
    ['{"c0":{"memoryBytes":1.5}}', /memoryBytes/],
    [" ".repeat(70_000), /70000 characters/],
  ])(
    "is created without them when the annotation makes no sense, with one word of it: %j",
    (text, problem) => {
      const outcome = create({ ...CONTAINERD, [KEY]: text });
      expect(outcome).toMatchObject({ told: false, resources: undefined });
      expect(outcome.problems).toEqual([expect.stringMatching(problem)]);
    },
  );

  test("never fails to be created, whatever the annotation", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        const { told, problems } = create({ ...CONTAINERD, [KEY]: text });
        expect(told && problems.length > 0).toBe(false);
      }),
    );
  });

  test("of a recording changes in nothing else", () => {
    const trace = new URL("../../test/fixtures/traces/pod-lifecycle.jsonl", import.meta.url);
    const records = readFileSync(trace, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
      .filter((record) => record.method === "CreateContainer" && record.dir === "c2s");
    const changes = records.map((record) => {
      const request = CreateContainerRequest.decode(
        decodeRequest(Buffer.from(record.payload, "hex")).payload,
      );
      const spec = request.OCI ?? Spec.create();
      spec.Annotations[KEY] = JSON.stringify({ c1: { memoryBytes: 4096 }, c2: { cpuMillis: 200 } });
      const sent = CreateContainerRequest.encode(request).finish();
      const rewritten = rewriteCreateContainer(sent, [], () => undefined);
      const after = CreateContainerRequest.decode(rewritten ?? sent);
      const given = after.OCI?.Linux?.Resources;
      const change = { quota: given?.CPU?.Quota ?? 0n, memory: given?.Memory?.Limit ?? 0n };
      if (after.OCI?.Linux) after.OCI.Linux.Resources = spec.Linux?.Resources;
      delete spec.Annotations[KEY];
      expect(after).toEqual(request);
      return change;
    });
    expect(changes).toEqual([
      { quota: 0n, memory: 0n },
      { quota: 0n, memory: 4096n },
      { quota: 20_000n, memory: 0n },
    ]);
  });
});
