import { expect, test } from "vitest";
import type { PodStatus, Status } from "../admin/status.ts";
import { statusText } from "./status-text.ts";
import { noPaint } from "./table.ts";

const POD: PodStatus = {
  namespace: "default",
  name: "web",
  uid: null,
  sandboxId: "s1",
  phase: "running",
  createdAt: "2026-01-01T00:00:00.000Z",
  changedAt: "2026-01-01T00:00:00.000Z",
  vm: { name: "podvm-web-s1", id: "vm-1", phase: "running", addresses: ["10.0.0.4"], deleteAttempts: 0 },
  tunnel: { type: "vxlan", id: 555000, made: true },
  link: { state: "up", reason: "", breaks: 2, losses: 1 },
  doing: null,
  lastError: null,
};

const STATUS: Status = {
  schema: 1,
  at: "2026-01-01T03:04:05.000Z",
  program: { version: "0.1.0", node: "v24.0.0", pid: 7, startedAt: "2026-01-01T00:00:00.000Z" },
  provider: "azure",
  nodeName: "worker-1",
  clusterId: "c",
  stage: "serving",
  ready: true,
  live: true,
  reasons: ["serving"],
  epoch: 5,
  shimProxy: { socket: "/run/peerpod/proxy.sock", attached: true, instanceId: "abc", version: "0.1.0" },
  limit: { most: 10, used: 3, deleting: 1, pool: 0 },
  logLevel: "info",
  configuration: {
    source: "ConfigMap confidential-containers-system/peer-pods-cm",
    trouble: null,
    changedAt: null,
    wrong: [{ key: "PROXY_TIMEOUT", text: "expected a duration" }],
    unknown: [],
    needRestart: [],
    overridden: [],
  },
  cluster: { nodeResource: "status", troubles: ["PeerPods of node worker-1: not found (404)"] },
  pods: [
    POD,
    {
      ...POD,
      name: "db",
      phase: "starting",
      createdAt: "2026-01-01T03:03:20.000Z",
      vm: { ...POD.vm, name: "podvm-db-s2", addresses: [] },
      tunnel: { ...POD.tunnel, made: false },
      link: { state: null, reason: "", breaks: 0, losses: 0 },
      doing: { text: "waiting for the VM's address", since: "2026-01-01T03:03:24.000Z" },
    },
  ],
  otherVms: [
    {
      name: "podvm-old",
      id: null,
      phase: "deleting",
      since: "2026-01-01T03:00:05.000Z",
      deleteAttempts: 3,
      lastError: "the cloud does not answer",
    },
  ],
};

test("people see what runs, how slow starts go on, and what is wrong", () => {
  expect(statusText(STATUS, noPaint)).toBe(`cloud-api-adaptor 0.1.0, azure, node worker-1: serving
up 3h4m, pid 7, epoch 5, log level info
shim-proxy 0.1.0, instance abc
pod VMs: 3 of 10 (1 being deleted)
configuration: ConfigMap confidential-containers-system/peer-pods-cm
  wrong PROXY_TIMEOUT: expected a duration
cluster: capacity by status
  not now PeerPods of node worker-1: not found (404)

POD          PHASE     AGE   VM            ADDRESS   TUNNEL        LINK
default/web  running   3h4m  podvm-web-s1  10.0.0.4  vxlan 555000  up (2 breaks, 1 loss)
default/db   starting  45s   podvm-db-s2   -         -             -                      waiting for the VM's address, 41 s

VM WITHOUT A POD  PHASE     SINCE
podvm-old         deleting  4m     the cloud does not answer
`);
});

test("a standby says that it is one, and has no pods", () => {
  const standby: Status = {
    ...STATUS,
    reasons: ["standing by: another control plane owns the node"],
    epoch: null,
    shimProxy: { ...STATUS.shimProxy, attached: false, instanceId: null, version: null },
    limit: { most: null, used: 0, deleting: 0, pool: 0 },
    configuration: { ...STATUS.configuration, source: "environment", wrong: [] },
    cluster: null,
    pods: [],
    otherVms: [],
  };
  const text = statusText(standby, noPaint);
  expect(text).toContain("standing by");
  expect(text).toContain("shim-proxy: not attached (/run/peerpod/proxy.sock)");
  expect(text).toContain("pod VMs: 0 of any number");
  expect(text).toContain("no pods");
  expect(text).not.toContain("cluster:");
});
