import { check, same } from "../real/case.ts";
import type { NodeCase } from "./case.ts";
import { PodSpace } from "./pods.ts";

/** The node itself: that it is one, before what we make of it is judged. */
export const PLAIN_CASES: readonly NodeCase[] = [
  {
    name: "an ordinary pod runs beside: exec, logs, the Service of the API",
    run: async (node) => {
      await using space = await PodSpace.make(node, "plain");
      await space.create("plain");
      const pod = await space.ready("plain");
      const run = await node.kubectl("-n", space.name, "exec", "plain", "--", "uname", "-r");
      same("exit code of exec", run.code, 0);
      check((await node.kubectl("-n", space.name, "logs", "plain")).stdout === "ready\n", () => "no logs");
      // TLS without a certificate that busybox could check: that there is an answer is enough.
      const reach = 'nc -w 5 "$KUBERNETES_SERVICE_HOST" "$KUBERNETES_SERVICE_PORT" </dev/null';
      const reached = await node.kubectl("-n", space.name, "exec", "plain", "--", "sh", "-c", reach);
      check(reached.code === 0, () => `the API cannot be reached: ${reached.stderr}`);
      return `kernel ${run.stdout.trim()}, address ${pod.status?.podIP}`;
    },
  },
];
