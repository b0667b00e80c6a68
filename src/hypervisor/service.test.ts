import { readFileSync } from "node:fs";
import { duplexPair } from "node:stream";
import { expect, test } from "vitest";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { capacityExhausted } from "../errors/index.ts";
import { CreateVMResponse, HypervisorDefinition } from "../gen/hypervisor/hypervisor.ts";
import { PodVMInfoDefinition } from "../gen/hypervisor/podvminfo.ts";
import { decodeRequest, decodeResponse, TtrpcClient, TtrpcError, TtrpcServer } from "../ttrpc/index.ts";
import { hypervisorHandlers, podVmInfoHandlers } from "./index.ts";

interface Exchange {
  readonly method: string;
  readonly request: ReturnType<typeof decodeRequest>;
  readonly response: ReturnType<typeof decodeResponse>;
}

/** The hypervisor calls of a recording with their recorded answers, in the order of the requests. */
function recorded(file: string): Exchange[] {
  const records = readFileSync(new URL(`../../test/fixtures/traces/${file}`, import.meta.url), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter((record) => record.chan === "hypervisor" && record.payload !== undefined);
  return records
    .filter((record) => record.type === 1)
    .map((record) => {
      const answer = records.find(
        (r) => r.type === 2 && r.conn === record.conn && r.stream === record.stream,
      );
      return {
        method: record.method,
        request: decodeRequest(Buffer.from(record.payload, "hex")),
        response: decodeResponse(Buffer.from(answer?.payload ?? "", "hex")),
      };
    });
}

function serve(node: FakeSandboxes): TtrpcClient {
  const server = new TtrpcServer();
  server.register(
    HypervisorDefinition,
    hypervisorHandlers(async () => node.manager),
  );
  server.register(
    PodVMInfoDefinition,
    podVmInfoHandlers(async () => node.manager),
  );
  const [near, far] = duplexPair();
  server.serveConnection(far);
  return new TtrpcClient(near);
}

test.each([
  "pod-lifecycle.jsonl",
  "annotations.jsonl",
  "runtime-rs-lifecycle.jsonl",
  "runtime-rs-create-fails.jsonl",
])("the shim's calls of %s are answered as the Go adaptor answered them", async (file) => {
  using node = new FakeSandboxes();
  await using client = serve(node);
  for (const { method, request, response } of recorded(file)) {
    const payload = await client.call(request.service, method, request.payload, {
      metadata: request.metadata,
    });
    if (method === "CreateVM")
      expect(CreateVMResponse.decode(payload)).toEqual(CreateVMResponse.decode(response.payload));
    else expect(payload).toHaveLength(0);
  }
  expect(node.residue()).toEqual([]);
});

test("a StartVM that the cloud refuses is answered with the reason, and the shim's StopVM cleans up", async () => {
  using node = new FakeSandboxes();
  await using client = serve(node);
  node.cloud.failNext(
    "create",
    capacityExhausted("no room for Standard_DC2as_v5 in westeurope; allow another size"),
  );
  const outcomes: string[] = [];
  for (const { method, request } of recorded("startvm-fails.jsonl")) {
    const outcome = client.call(request.service, method, request.payload).then(
      () => "ok",
      (error: unknown) => (error instanceof TtrpcError ? `${error.code} ${error.message}` : String(error)),
    );
    outcomes.push(`${method}: ${await outcome}`);
  }
  expect(outcomes).toEqual([
    "CreateVM: ok",
    "StartVM: 8 no room for Standard_DC2as_v5 in westeurope; allow another size",
    "StopVM: ok",
  ]);
  expect(node.residue()).toEqual([]);
});

test("a CreateVM with a bad initdata is refused with line and key, before anything is made", async () => {
  using node = new FakeSandboxes();
  const request = { ...node.request("s1"), initdata: 'algorithm = "md5"\nversion = "0.1.0"\n[data]\n' };
  await expect(node.manager.create(request, new AbortController().signal)).rejects.toMatchObject({
    code: 3,
    message: expect.stringMatching(/line 1.*algorithm/),
  });
  expect(node.residue()).toEqual([]);
});
