import type { ComputeManagementClientOptionalParams } from "@azure/arm-compute";
import type { ArmAnswer } from "./answers.ts";
import { ConnectionCut, type FakeAzure } from "./fake-azure.ts";

/** The SDK's own interface of an HTTP client. */
export type SdkHttpClient = NonNullable<ComputeManagementClientOptionalParams["httpClient"]>;
type SdkRequest = Parameters<SdkHttpClient["sendRequest"]>[0];
type SdkResponse = Awaited<ReturnType<SdkHttpClient["sendRequest"]>>;

/** Where the fake says it is; no name is looked up. */
export const FAKE_ENDPOINT = "https://management.fake-azure.test";

/** Puts the fake in the place of the SDK's network: no socket, so that a virtual clock may own the time. */
export function inProcessClient(fake: FakeAzure): SdkHttpClient {
  return {
    async sendRequest(request): Promise<SdkResponse> {
      const signal =
        request.abortSignal instanceof AbortSignal ? request.abortSignal : new AbortController().signal;
      if (signal.aborted) throw aborted();
      const { promise, reject } = Promise.withResolvers<never>();
      const leave = (): void => reject(aborted());
      signal.addEventListener("abort", leave, { once: true });
      try {
        const answered = fake.handle(
          {
            method: request.method,
            url: new URL(request.url),
            headers: new Map(Object.entries(request.headers.toJSON())),
            body: typeof request.body === "string" ? request.body : "",
          },
          signal,
        );
        return toResponse(request, await Promise.race([answered, promise]));
      } catch (error) {
        if (signal.aborted) throw aborted();
        if (error instanceof ConnectionCut) {
          throw Object.assign(new Error(`socket hang up: ${error.message}`), {
            name: "RestError",
            code: "ECONNRESET",
          });
        }
        throw error;
      } finally {
        signal.removeEventListener("abort", leave);
      }
    },
  };
}

function aborted(): Error {
  return Object.assign(new Error("The operation was aborted."), { name: "AbortError" });
}

function toResponse(request: SdkRequest, answer: ArmAnswer): SdkResponse {
  const headers = new Map(Object.entries(answer.headers).map(([name, value]) => [name.toLowerCase(), value]));
  return {
    request,
    status: answer.status,
    bodyAsText: answer.body,
    headers: {
      get: (name) => headers.get(name.toLowerCase()),
      has: (name) => headers.has(name.toLowerCase()),
      set: (name, value) => void headers.set(name.toLowerCase(), `${value}`),
      delete: (name) => void headers.delete(name.toLowerCase()),
      toJSON: () => Object.fromEntries(headers),
      [Symbol.iterator]: () => headers[Symbol.iterator](),
    },
  };
}
