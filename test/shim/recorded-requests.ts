import { readFileSync } from "node:fs";
import { CopyFileRequest, CreateContainerRequest, CreateSandboxRequest } from "../../src/gen/agent/agent.ts";
import { decodeRequest } from "../../src/ttrpc/index.ts";

const RECORDING = new URL("../fixtures/traces/pod-lifecycle.jsonl", import.meta.url);

/** Payloads of all recorded requests of a method, in order. */
function payloads(method: string): Uint8Array[] {
  return readFileSync(RECORDING, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter((record) => record.type === 1 && record.method === method)
    .map((record) => decodeRequest(Buffer.from(record.payload, "hex")).payload);
}

function only<T>(items: readonly T[], at: number, what: string): T {
  const item = items[at];
  if (item === undefined) throw new Error(`the recording has no ${what}`);
  return item;
}

/** What a stock Go shim sent for one pod: taken as it came, for the ids to be replaced. */
export interface RecordedPod {
  readonly sandbox: CreateSandboxRequest;
  /** resolv.conf of the sandbox; then hostname, hosts and resolv.conf of the container. */
  readonly files: readonly CopyFileRequest[];
  readonly pause: CreateContainerRequest;
  readonly container: CreateContainerRequest;
}

export function recordedPod(): RecordedPod {
  const containers = payloads("CreateContainer").map((bytes) => CreateContainerRequest.decode(bytes));
  return {
    sandbox: CreateSandboxRequest.decode(only(payloads("CreateSandbox"), 0, "CreateSandbox")),
    files: payloads("CopyFile")
      .slice(0, 4)
      .map((bytes) => CopyFileRequest.decode(bytes)),
    pause: only(containers, 0, "pause container"),
    container: only(containers, 1, "container"),
  };
}

/** The message with one text replaced by another wherever it stands in a string. */
export function replaceText<T>(message: T, from: string, to: string): T {
  return mapStrings(message, (text) => text.replaceAll(from, to));
}

function mapStrings<T>(value: T, map: (text: string) => string): T;
function mapStrings(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === "string") return map(value);
  if (Array.isArray(value)) return value.map((item: unknown) => mapStrings(item, map));
  if (value instanceof Uint8Array || typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [map(key), mapStrings(item, map)]));
}
