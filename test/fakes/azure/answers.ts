/** A request as the fake sees it, however it came. */
export interface ArmRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface ArmAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A JSON answer. */
export function json(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): ArmAnswer {
  return {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
    body: JSON.stringify(body),
  };
}

/** An answer without a body. */
export function empty(status: number, headers: Readonly<Record<string, string>> = {}): ArmAnswer {
  return { status, headers, body: "" };
}

/** A refusal in ARM's form (common-types/v1/common.json, CloudError): `{error: {code, message}}`. */
export class ArmRefusal extends Error {
  readonly answer: ArmAnswer;

  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(`${code}: ${message}`);
    this.answer = json(status, { error: { code, message } }, headers);
  }
}

/** ARM compares ids without regard to case. */
export function sameId(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && a.toLowerCase() === b?.toLowerCase();
}
