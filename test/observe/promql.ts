/** `name{label="value"}` in an expression. */
export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
}

export interface Matcher {
  readonly label: string;
  readonly operator: string;
  readonly value: string;
}

/** What an expression asks Prometheus for. */
export interface Expression {
  readonly selectors: readonly Selector[];
  /** Labels by which results are grouped or joined. */
  readonly grouping: readonly string[];
}

/** Words before a list of labels. */
const GROUPING = new Set(["by", "without", "on", "ignoring", "group_left", "group_right"]);
const WORDS = new Set(["and", "or", "unless", "offset", "bool", "atan2", "inf", "nan", "start", "end"]);
const TOKEN =
  /\s+|#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\[[^\]]*\]|[a-zA-Z_:][\w:]*|\$\w+|\d[\w.]*|=~|!~|!=|==|>=|<=|./g;

/** Reads the part of PromQL that dashboards and rules use. Throws for what it cannot read. */
export function readExpression(text: string): Expression {
  const tokens = (text.match(TOKEN) ?? []).filter((token) => !/^\s|^#/.test(token));
  const selectors: Selector[] = [];
  const grouping: string[] = [];
  for (let n = 0; n < tokens.length; n++) {
    const token = tokens[n] ?? "";
    if (!/^[a-zA-Z_:]/.test(token)) {
      if (token === "{") throw new Error(`a selector without a metric in ${text}`);
      continue;
    }
    const next = tokens[n + 1];
    if (GROUPING.has(token)) {
      if (next !== "(") continue;
      const end = tokens.indexOf(")", n);
      grouping.push(...tokens.slice(n + 2, end).filter((part) => part !== ","));
      n = end;
    } else if (next !== "(" && !WORDS.has(token) && !isAggregation(token, next)) {
      const end = next === "{" ? tokens.indexOf("}", n) : n;
      selectors.push({
        metric: token,
        matchers: readMatchers(tokens.slice(n + 2, Math.max(end, n + 2)), text),
      });
      n = end;
    }
  }
  return { selectors, grouping };
}

/** `sum by (x) (...)`: the grouping stands between the function and what it is applied to. */
const isAggregation = (_token: string, next: string | undefined): boolean =>
  next !== undefined && GROUPING.has(next) && next !== "on" && next !== "ignoring";

function readMatchers(tokens: readonly string[], text: string): Matcher[] {
  const matchers: Matcher[] = [];
  for (let n = 0; n < tokens.length; n += 4) {
    const [label = "", operator = "", quoted = "", comma = ","] = tokens.slice(n, n + 4);
    if (!/^(=|!=|=~|!~)$/.test(operator) || !/^["']/.test(quoted) || comma !== ",")
      throw new Error(`matchers that cannot be read in ${text}`);
    matchers.push({ label, operator, value: quoted.slice(1, -1) });
  }
  return matchers;
}
