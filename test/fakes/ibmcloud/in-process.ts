import type { Clock } from "../../../src/platform/index.ts";
import type { IbmAnswer } from "./answers.ts";
import { ConnectionCut, type FakeIbm } from "./fake-ibm.ts";

/** What is used of axios's request configuration (axios 1, InternalAxiosRequestConfig). */
interface AxiosRequest {
  readonly method: string;
  readonly url: string;
  readonly query: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
}

function field(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}

function readRequest(config: unknown): AxiosRequest {
  const headers = new Map<string, string>();
  const given = field(config, "headers");
  if (typeof given === "object" && given !== null) {
    for (const [name, value] of Object.entries(given)) headers.set(name.toLowerCase(), String(value));
  }
  const params = field(config, "params");
  const pairs = typeof params === "object" && params !== null ? Object.entries(params) : [];
  const data = field(config, "data");
  const signal = field(config, "signal");
  return {
    method: String(field(config, "method")).toUpperCase(),
    url: String(field(config, "url")),
    query: new URLSearchParams(
      pairs.map(([name, value]): [string, string] => [name, String(value)]),
    ).toString(),
    headers,
    body: typeof data === "string" ? data : "",
    signal: signal instanceof AbortSignal ? signal : undefined,
    timeoutMs: Number(field(config, "timeout") ?? 0),
  };
}

/** Puts the fake in the place of the network under axios: no socket, so that a virtual clock may own the time. */
export function inProcessAdapter(fake: FakeIbm, clock: Clock): (config: unknown) => Promise<unknown> {
  return async (config) => {
    const request = readRequest(config);
    const late = new AbortController();
    const stop =
      request.timeoutMs > 0 ? clock.schedule(request.timeoutMs, () => late.abort()) : () => undefined;
    const signal = AbortSignal.any([late.signal, ...(request.signal ? [request.signal] : [])]);
    const { promise, reject } = Promise.withResolvers<never>();
    const leave = (): void => reject(connectionError(late.signal.aborted ? "ECONNABORTED" : "ERR_CANCELED"));
    if (signal.aborted) leave();
    signal.addEventListener("abort", leave, { once: true });
    try {
      const url = new URL(request.query === "" ? request.url : `${request.url}?${request.query}`);
      const answered = fake.handle({ ...request, url }, signal);
      answered.catch(() => undefined);
      return settle(config, await Promise.race([answered, promise]));
    } catch (error) {
      if (error instanceof ConnectionCut) throw connectionError("ECONNRESET");
      throw error;
    } finally {
      stop();
      signal.removeEventListener("abort", leave);
      promise.catch(() => undefined);
    }
  };
}

function connectionError(code: string): Error {
  return Object.assign(new Error(`request failed: ${code}`), { code, request: {} });
}

/** As axios's own adapters do: an answer that `validateStatus` does not like is an error with that answer. */
function settle(config: unknown, answer: IbmAnswer): object {
  const response = {
    data: answer.body,
    status: answer.status,
    statusText: `status ${answer.status}`,
    headers: { ...answer.headers },
    config,
    request: {},
  };
  if (answer.status >= 200 && answer.status < 300) return response;
  throw Object.assign(new Error(`Request failed with status code ${answer.status}`), {
    response,
    request: {},
  });
}
