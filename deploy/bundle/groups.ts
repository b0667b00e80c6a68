// Left alone, the bundler makes a file of each set of modules that the same programs load: thirty of a few lines each before the
// shim-proxy listens, and to find and open a file takes Node as long as to compile it.

/** For a probe, which the kubelet starts every few seconds: nothing else may come in here. */
const PROBE = ["src/errors/*", "src/admin/client", "src/cli/admin-socket", "src/cli/probe"];

/** For any other command: which there are, and their options. */
const COMMANDS = [
  "providers/index",
  "providers/selection/sizing",
  "src/cli/(admin|cluster|controller)-(commands|options)",
  "src/cli/(commands|config|crash-output|go-flags|go-values|help|near|own-namespace|program|stop-signals|table|version)",
  "src/cli/((common|kubernetes|metrics|pod-vm|shared|shim-proxy)-)?options",
  "src/cli/option-checks",
  "src/platform/(clock|installed|log|node-files|secret)",
  "src/sandbox/pool-kinds",
  "src/tls/profile",
];

const matching = (paths: readonly string[]): RegExp =>
  new RegExp(`/(${paths.map((path) => path.replaceAll("*", "[^/]+")).join("|")})\\.ts$`);

/** Files of the bundle that are made of more than one such set. */
export const GROUPS: { readonly name: string; readonly test: RegExp }[] = [
  { name: "probe", test: matching(PROBE) },
  { name: "commands", test: matching(COMMANDS) },
];
