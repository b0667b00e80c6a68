/** SGR codes (ECMA-48). */
const COLOURS: Readonly<Record<string, string>> = { error: "31", warn: "33", info: "32", debug: "90" };
const DIM = "2";

/** Fields that are shown in a place of their own. */
const PLACED: ReadonlySet<string> = new Set(["time", "level", "component", "msg", "error"]);

/**
 * A JSON log line as a person reads it: `02:51:05.123 info  adaptor: sandbox is running pod=default/web durationMs=5012`. The
 * error, the longest part, comes last. What is not JSON passes as it is.
 */
export function prettyLine(line: string, colours: boolean): string {
  const fields = parse(line);
  if (fields === undefined) return line;
  const painted = (code: string, text: string): string => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
  const level = text(fields["level"]);
  const rest = Object.entries(fields)
    .filter(([key]) => !PLACED.has(key))
    .map(([key, value]) => painted(DIM, `${key}=${shown(value)}`));
  const error = fields["error"] === undefined ? [] : [painted(COLOURS["error"] ?? "", text(fields["error"]))];
  return `${[
    painted(DIM, text(fields["time"]).replace(/^.*T(.*)Z$/, "$1")),
    painted(COLOURS[level] ?? DIM, level.padEnd(5)),
    `${text(fields["component"])}: ${text(fields["msg"])}`,
    ...rest,
    ...error,
  ].join(" ")}\n`;
}

function parse(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null
      ? Object.fromEntries(Object.entries(value))
      : undefined;
  } catch {
    return undefined;
  }
}

/** Without what a terminal would take for commands: texts come from clouds and pods. */
const CONTROL = /\p{Cc}/gu;

const text = (value: unknown): string =>
  (typeof value === "string" ? value : (JSON.stringify(value) ?? "")).replaceAll(CONTROL, "\u00b7");

/** As a shell would need it quoted. */
function shown(value: unknown): string {
  const plain = text(value);
  return typeof value === "string" && /[\s"=]|^$/.test(plain) ? JSON.stringify(plain) : plain;
}
