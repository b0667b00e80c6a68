/** What a route is given of a request. */
export interface AdminCall {
  readonly query: URLSearchParams;
  /** As sent; at most MAX_BODY_BYTES. */
  readonly body: string;
  /** Aborts when the caller has left. */
  readonly signal: AbortSignal;
}

/** Text, or what becomes JSON. */
export type AdminReply =
  | { readonly status: number; readonly json: unknown }
  | { readonly status: number; readonly text: string; readonly contentType: string };

/** One thing that the admin socket does. What it throws becomes an answer by its kind. */
export interface AdminRoute {
  readonly method: "GET" | "PUT";
  /** Without a query: `/status`. */
  readonly path: string;
  handle(call: AdminCall): AdminReply | Promise<AdminReply>;
}

/** Longest body of a request. */
export const MAX_BODY_BYTES: number = 4096;

/** An answer of status 200 unless another is given. */
export const json = (value: unknown, status: number = 200): AdminReply => ({ status, json: value });
