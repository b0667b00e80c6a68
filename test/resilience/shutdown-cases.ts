import { type Case, must } from "./case.ts";
import { never, PATIENCE_MS } from "./stage.ts";

const CONTROL_PLANE_DRAINS: Case = {
  name: "a control plane told to end leaves a boot of many minutes to the next one and ends with status 0",
  async run(stage) {
    const control = stage.control();
    const { pod } = stage.newPod();
    await pod.create();
    await stage.cloud.settings({ bootDelayMs: 600_000 }, never);
    const start = pod.start();
    start.catch(() => undefined);
    await stage.node.shim.vmId(pod.pod, true, PATIENCE_MS);
    await control.kill("SIGTERM");
    must(control.process.exitCode === 0, `it ended with status ${control.process.exitCode}`);
    await stage.vmOf(pod);
    await stage.cloud.settings({ bootDelayMs: 0 }, never);
    stage.control();
    await stage.call((client) => client.stopVM({ id: pod.id }));
    await start.then(
      () => must(false, "StartVM succeeded after StopVM"),
      () => undefined,
    );
  },
};

const PROXY_DRAINS: Case = {
  name: "a shim-proxy told to end serves until its last sandbox is closed",
  async run(stage) {
    const control = stage.control();
    const { pod, container } = await stage.runPod();
    const proxy = stage.proxy;
    proxy.process.kill("SIGTERM");
    for (let n = 0; n < 3; n++) {
      const { stdout } = await pod.session.exec(container, `draining-${n}`, ["echo", "here"]);
      must(stdout === "here\n", `exec printed ${JSON.stringify(stdout)}`);
    }
    must(proxy.running, "the shim-proxy ended under a running pod");
    await pod.removeContainer(container);
    await pod.stop();
    await proxy.exited;
    must(proxy.process.exitCode === 0, `it ended with status ${proxy.process.exitCode}`);
    stage.proxy = await stage.node.startShimProxy();
    await stage.answers();
    await control.kill("SIGTERM");
  },
};

/** Orderly ends. */
export const SHUTDOWN_CASES: readonly Case[] = [CONTROL_PLANE_DRAINS, PROXY_DRAINS];
