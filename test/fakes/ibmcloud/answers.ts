/** A request as the fake sees it, however it came. */
export interface IbmRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface IbmAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A JSON answer. */
export function json(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): IbmAnswer {
  return { status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) };
}

/** An answer without a body. */
export function empty(status: number): IbmAnswer {
  return { status, headers: {}, body: "" };
}

/** A refusal in the form of VPC (ErrorContainer in its API definition): `{errors: [{code, message}], trace}`. */
export class IbmRefusal extends Error {
  readonly answer: IbmAnswer;

  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(`${code}: ${message}`);
    this.answer = json(status, refusalBody(code, message), headers);
  }
}

/** The body of a refusal. */
export function refusalBody(code: string, message: string): object {
  return {
    errors: [{ code, message, more_info: "https://cloud.ibm.com/apidocs/vpc" }],
    trace: "fake-trace-1",
  };
}
