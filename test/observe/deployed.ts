import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { parse } from "yaml";
import { ROOT } from "../node/child.ts";

/** An expression of a dashboard or a rule, and where it stands. */
export interface Named {
  readonly where: string;
  readonly text: string;
}

const Panels = v.object({
  uid: v.string(),
  panels: v.array(
    v.object({ title: v.string(), targets: v.optional(v.array(v.object({ expr: v.string() })), []) }),
  ),
  templating: v.object({ list: v.array(v.object({ definition: v.optional(v.string()) })) }),
});

const Rule = v.object({
  alert: v.string(),
  expr: v.string(),
  labels: v.object({ severity: v.picklist(["critical", "warning", "info"]) }),
  annotations: v.object({ summary: v.string(), description: v.string(), runbook: v.string() }),
});
const Rules = v.object({ groups: v.array(v.object({ name: v.string(), rules: v.array(Rule) })) });

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook: string };
}

const filesIn = (folder: string, ending: string): string[] =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith(ending))
    .map((name) => join(ROOT, folder, name));

export const alertFiles = (): string[] => filesIn("deploy/alerts", ".yaml");

export function alertRules(): AlertRule[] {
  return alertFiles().flatMap((path) =>
    v.parse(Rules, parse(readFileSync(path, "utf8"))).groups.flatMap(({ rules }) => rules),
  );
}

/** Grafana's variables stand for text of Prometheus' own. */
const filled = (expression: string): string =>
  expression.replaceAll("$__rate_interval", "5m").replaceAll("$instance", ".*");

/** Every expression in deploy/dashboards and deploy/alerts. */
export function deployedExpressions(): Named[] {
  const panels = filesIn("deploy/dashboards", ".json").flatMap((path) => {
    const { uid, panels: all, templating } = v.parse(Panels, JSON.parse(readFileSync(path, "utf8")));
    return [
      ...all.flatMap(({ title, targets }) =>
        targets.map(({ expr }) => ({ where: `${uid}: ${title}`, text: filled(expr) })),
      ),
      ...templating.list.flatMap(({ definition }) => {
        const selector = /^label_values\((.*), \w+\)$/.exec(definition ?? "")?.[1];
        return selector === undefined ? [] : [{ where: `${uid}: variables`, text: selector }];
      }),
    ];
  });
  return [...panels, ...alertRules().map(({ alert, expr }) => ({ where: alert, text: expr }))];
}
