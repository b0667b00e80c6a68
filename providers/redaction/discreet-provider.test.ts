import { expect, test } from "vitest";
import { CaaError, describeError, invalidRequest } from "../../src/errors/index.ts";
import { type LogFields, Secret, silentLog, systemClock, systemExec } from "../../src/platform/index.ts";
import { FakeProvider } from "../../test/fakes/fake-provider.ts";
import type { OptionReader, Provider, ProviderModule, VmRequest } from "../contract.ts";
import { createDiscreetly } from "./discreet-provider.ts";

const PASSWORD = "of-the-operator";
const USER_DATA = `#cloud-config ${"tls-server-key ".repeat(8)}`;

const options: OptionReader = {
  string: () => "",
  secret: (flag) => (flag === "password" ? new Secret(PASSWORD) : undefined),
  int: () => undefined,
  bool: () => false,
  list: () => [],
  tags: () => ({}),
  durationMs: () => undefined,
};

const request: VmRequest = {
  name: "podvm-web-1",
  tags: {},
  userData: new Secret(USER_DATA),
  size: { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 },
  image: "",
  dedicatedTunnelInterface: false,
  externalNetworkInterface: false,
  volumes: [],
};
const signal = new AbortController().signal;

/** A cloud that tells in its errors, findings and log lines all that it knows. */
async function talkative(over: Partial<Provider> = {}) {
  const lines: string[] = [];
  const note = (message: string, fields?: LogFields): void => {
    lines.push(`${message} ${JSON.stringify(fields)}`);
  };
  const module: ProviderModule = {
    name: "talkative",
    options: [
      { flag: "password", kind: "string", secret: true, help: "h" },
      { flag: "unset", kind: "string", secret: true, help: "h" },
    ],
    async create({ log }) {
      const inner = new FakeProvider();
      return {
        name: "talkative",
        limits: inner.limits,
        verify: async () => [{ check: "login", level: "error", text: `${PASSWORD} is refused` }],
        create: async ({ userData }) => {
          log.child({ who: PASSWORD }).debug(`sent ${userData.reveal()}`, { body: userData.reveal() });
          throw invalidRequest(`bad: ${Buffer.from(userData.reveal()).toString("base64")}`, {
            cause: new Error(`because of ${userData.reveal()}`),
            retryAfterMs: 7,
          });
        },
        get: async () => {
          throw new TypeError(`a bug with ${PASSWORD}`);
        },
        delete: async () => {
          throw invalidRequest("podvm-web-1 is locked");
        },
        list: async () => [],
        close: async () => undefined,
        ...over,
      };
    },
  };
  const log = { ...silentLog, debug: note, child: () => log };
  const context = { clock: systemClock, exec: systemExec, log, owner: { clusterId: "c", nodeName: "n" } };
  return { provider: await createDiscreetly(module, context, options), lines };
}

const thrown = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

test("errors keep kind and advice, and lose what was told in confidence, their causes included", async () => {
  const { provider } = await talkative();
  const error = await thrown(
    provider.create(request, { signal, onId: () => undefined, onProgress: () => undefined }),
  );
  expect(error).toBeInstanceOf(CaaError);
  expect(error).toMatchObject({ kind: "invalid-request", retryAfterMs: 7 });
  const told = describeError(error);
  expect(told).toContain("bad: [redacted]");
  expect(told).not.toMatch(/tls-server-key|dGxzLXNlcnZlci1rZXk/);
});

test("an error that tells nothing is passed on as it is; a bug that tells something is not", async () => {
  const { provider } = await talkative();
  expect(await thrown(provider.delete({ name: "x" }, signal))).toMatchObject({
    message: "podvm-web-1 is locked",
  });
  expect(describeError(await thrown(provider.get({ name: "x" }, signal)))).toBe("a bug with [redacted]");
});

test("findings and log lines tell no secret either", async () => {
  const { provider, lines } = await talkative();
  expect((await provider.verify(signal))[0]?.text).toBe("[redacted] is refused");
  await thrown(provider.create(request, { signal, onId: () => undefined, onProgress: () => undefined }));
  expect(lines).toHaveLength(1);
  expect(lines.join()).not.toContain("tls-server-key");
});

test("what the provider lacks is still missing, and what it has is asked", async () => {
  expect("quota" in (await talkative()).provider).toBe(false);
  let asked = 0;
  const quota = async (): Promise<number> => 3 + asked++;
  const { provider } = await talkative({ quota });
  expect(await provider.quota?.(signal)).toBe(3);
  expect(asked).toBe(1);
});
