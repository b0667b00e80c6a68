import { PROVIDERS } from "../../providers/index.ts";
import { commandSummaries, loadCommand } from "./commands.ts";
import { ADAPTOR_OPTIONS } from "./common-options.ts";
import { markdownTable } from "./help.ts";

const INTRODUCTION = `# Configuration

Made from the declarations in the program; do not edit. A test holds it, and \`UPDATE_GOLDEN=1 npm test\` writes it.

A flag wins over its variable, a variable over the default; an empty value counts as unset. In Kubernetes the variables
are keys of the ConfigMap \`peer-pods-cm\` and the Secret \`peer-pods-secret\`. Flags are written \`-flag value\`,
\`-flag=value\` or with two dashes; a switch alone means true. Lists and \`K=V\` pairs of variable and flag add up.

A value on which the Go adaptor acted keeps its meaning, with a warning if it is odd (\`30GB\` is 30; a switch is on for
\`1\` and \`true\` only). A value that it silently ignored (\`PROXY_TIMEOUT=5\`, no unit) stops the start. All problems of a
start are reported together, and the exit status is 2.

In Kubernetes the adaptor watches \`peer-pods-cm\`. A changed key that is marked *live* counts at once, for VMs made from then on;
VMs that exist, and creates under way, keep what they were made with. Any other key counts at the next start, and
\`cloud-api-adaptor status\` names it until then. A wrong value leaves the old one in force, a key that is removed falls back to its
default, and a key that a flag or the container's own \`env\` gives is not changed by the ConfigMap; all are named by status, in the log,
and as an Event on the adaptor's pod. Secrets are not watched.

| Form | Means |
|---|---|
| N | a whole number |
| true\\|false | as a variable \`1\` or \`true\` in any case; as a flag also \`t\`, \`f\`, \`0\`, \`1\` |
| DURATION | numbers with units: \`300ms\`, \`90s\`, \`5m\`, \`1h30m\` |
| A,B,... | a list; blanks around items are dropped |
| K=V,K=V,... | tags |
`;

/** docs/configuration.md, from the declarations of every command of this build. */
export async function configurationReference(): Promise<string> {
  const parts = [INTRODUCTION, "## Every provider\n"];
  for (const group of ADAPTOR_OPTIONS)
    parts.push(`### ${group.title}\n`, `${markdownTable(group.options, "adaptor")}\n`);
  for (const { name, summary } of commandSummaries()) {
    parts.push(`## \`${name}\`\n`, `${summary}\n`);
    const command = await loadCommand(name);
    const isProvider = Object.hasOwn(PROVIDERS, name);
    for (const group of command.groups) {
      if (isProvider && ADAPTOR_OPTIONS.includes(group)) continue;
      if (!isProvider) parts.push(`### ${group.title}\n`);
      parts.push(`${markdownTable(group.options, isProvider ? "adaptor" : "another")}\n`);
    }
  }
  return parts.join("\n");
}
