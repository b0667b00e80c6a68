import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ADAPTOR_SPECS } from "../../src/observe/adaptor-specs.ts";
import { CONTROLLER_SPECS } from "../../src/observe/controller-specs.ts";
import { WEBHOOK_SPECS } from "../../src/observe/webhook-specs.ts";
import { ROOT } from "../node/child.ts";
import { alertFiles, alertRules, deployedExpressions } from "./deployed.ts";
import { readExpression } from "./promql.ts";
import { missingIn, readSamples } from "./samples.ts";

// That a running adaptor really tells these series is test/resilience's group "observe".

const hasPromtool = ((): boolean => {
  try {
    execFileSync("promtool", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

describe("an expression is read", () => {
  test.each([
    ["up == 0", ["up"], []],
    ['sum by (instance, le) (rate(a_bucket{step="start"}[5m])) > 1e3', ["a_bucket"], ["instance", "le"]],
    ["a / on (job) group_left (x) b offset 5m and c", ["a", "b", "c"], ["job", "x"]],
    ['count(a{x="}"} == 0) or vector(0)', ["a"], []],
    ["histogram_quantile(0.9, sum without (y) (a:rate)) * 900 > bool 10", ["a:rate"], ["y"]],
  ])("%s", (text, metrics, grouping) => {
    const expression = readExpression(text);
    expect(expression.selectors.map(({ metric }) => metric)).toEqual(metrics);
    expect(expression.grouping).toEqual(grouping);
  });

  test("with its matchers", () => {
    expect(readExpression(`a{x=~"b|c", y!='d'}`).selectors[0]?.matchers).toEqual([
      { label: "x", operator: "=~", value: "b|c" },
      { label: "y", operator: "!=", value: "d" },
    ]);
  });
});

test("a metric, a label, a value and a grouping that nothing tells are found", () => {
  const samples = readSamples('# HELP a x\na{x="1",y="z"} 1\nb 2\n');
  const missing = (text: string): string[] => missingIn(samples, readExpression(text));
  expect(missing('sum by (y) (a{x="1"}) / b')).toEqual([]);
  expect(missing("c")).toEqual(["there is no c"]);
  expect(missing('a{q="1"}')).toEqual(["a has no label q"]);
  expect(missing('a{x="2"}')).toEqual(['no series of a has x="2"']);
  expect(missing("sum by (q) (a)")).toEqual(["no metric of the expression has the label q"]);
});

test("dashboards and alerts name metrics that are declared", () => {
  const declared = new Set(
    [...ADAPTOR_SPECS, ...CONTROLLER_SPECS, ...WEBHOOK_SPECS].flatMap(({ name, kind }) =>
      kind === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
  );
  const foreign = deployedExpressions().flatMap(({ where, text }) =>
    readExpression(text)
      .selectors.filter(({ metric }) => metric.startsWith("peerpods_") && !declared.has(metric))
      .map(({ metric }) => `${where}: ${metric}`),
  );
  expect(foreign).toEqual([]);
  expect(deployedExpressions().length).toBeGreaterThan(50);
});

test("every alert sends its reader to a place in the documents that exists", () => {
  const anchorsOf = (path: string): string[] =>
    [...readFileSync(join(ROOT, path), "utf8").matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
      title
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    );
  const lost = alertRules().filter(({ annotations }) => {
    const [path = "", anchor = ""] = annotations.runbook.split("#");
    return !anchorsOf(path).includes(anchor);
  });
  expect(lost.map(({ alert, annotations }) => `${alert}: ${annotations.runbook}`)).toEqual([]);
});

test("an alert's text uses only labels that its expression keeps", () => {
  const lost = alertRules().flatMap(({ alert, expr, annotations }) => {
    const { grouping } = readExpression(expr);
    const kept = new Set(expr.includes(" by (") ? grouping : ["instance"]);
    const used = [...`${annotations.summary} ${annotations.description}`.matchAll(/\$labels\.(\w+)/g)];
    return used.filter(([, label = ""]) => !kept.has(label)).map(([, label]) => `${alert}: ${label}`);
  });
  expect(lost).toEqual([]);
});

test.skipIf(!hasPromtool)(
  "promtool takes the rules (needs promtool, of the Debian package prometheus)",
  () => {
    const said = execFileSync("promtool", ["check", "rules", ...alertFiles()], { encoding: "utf8" });
    expect(said).toContain("SUCCESS");
  },
);
