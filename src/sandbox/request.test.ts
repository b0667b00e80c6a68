import { expect, test } from "vitest";
import { agentSocketPath, isSameRequest, parseJournaledRequest, parsePodRequest } from "./request.ts";

const ID = "6d5834423bb23a1b072e3ed54b49323fd67922a5c6a745387f1b6ab245d21a61";
const NETNS = "/var/run/netns/cni-1";
const prefix = "io.katacontainers.config.hypervisor.";
const pod = { "io.kubernetes.cri.sandbox-name": "web", "io.kubernetes.cri.sandbox-namespace": "shop" };

test("containerd's names are taken as they are", () => {
  expect(parsePodRequest(ID, pod, NETNS)).toMatchObject({ podName: "web", podNamespace: "shop", podUid: "" });
});

test("CRI-O's sandbox name gives the pod's name and UID", () => {
  const crio = { ...pod, "io.kubernetes.cri.sandbox-name": "k8s_web_shop_1234-uid_0" };
  expect(parsePodRequest(ID, crio, NETNS)).toMatchObject({
    podName: "web",
    podNamespace: "shop",
    podUid: "1234-uid",
  });
});

test.each([
  ["2", "4096", 2, 4096],
  ["0", "", 0, 0],
  ["1.5", "2048", 2, 2048], // runtime-rs writes fractions
  ["many", "-5", 0, 0],
  ["999999999999999999", "1e9", 1_000_000_000, 0],
])("vCPUs %j and memory %j are read as %i and %i", (vcpus, memory, wantVcpus, wantMemory) => {
  const request = parsePodRequest(
    ID,
    { ...pod, [`${prefix}default_vcpus`]: vcpus, [`${prefix}default_memory`]: memory },
    NETNS,
  );
  expect(request.size).toMatchObject({ vcpus: wantVcpus, memoryMiB: wantMemory });
});

test.each([
  ["", pod, NETNS, /sandbox id ""/],
  ["../../etc", pod, NETNS, /sandbox id/],
  ["a\nb", pod, NETNS, /sandbox id/],
  ["x".repeat(300), pod, NETNS, /sandbox id/],
  [ID, {}, NETNS, /sandbox-name is missing/],
  [ID, { "io.kubernetes.cri.sandbox-name": "web" }, NETNS, /sandbox-namespace is missing/],
  [ID, { ...pod, "io.kubernetes.cri.sandbox-name": "k8s__shop_uid_0" }, NETNS, /holds no pod name/],
  [ID, pod, "", /network namespace path ""/],
  [ID, pod, "relative/ns", /not an absolute path/],
  [ID, pod, "/run/netns/../../etc/passwd", /not an absolute path/],
  [ID, pod, "-x", /not an absolute path/],
])(
  "a CreateVM of id %j with wrong parts is refused and says what is wrong",
  (id, annotations, netns, text) => {
    expect(() => parsePodRequest(id, annotations, netns)).toThrow(
      expect.objectContaining({ code: 3, message: expect.stringMatching(text) }),
    );
  },
);

test("an agent socket whose path no unix socket takes is refused with both numbers", () => {
  expect(agentSocketPath("/run/peerpod/pods", ID)).toBe(`/run/peerpod/pods/${ID}/agent.ttrpc`);
  expect(() => agentSocketPath(`/run/${"p".repeat(30)}`, ID)).toThrow(/112 bytes.*107/);
});

test("what is journaled reads back equal, and what is damaged is refused", () => {
  const request = parsePodRequest(ID, pod, NETNS);
  expect(parseJournaledRequest(JSON.stringify(request))).toEqual(request);
  expect(() => parseJournaledRequest("{}")).toThrow(expect.objectContaining({ code: 15 }));
  expect(() => parseJournaledRequest("not json")).toThrow(expect.objectContaining({ code: 15 }));
});

test("a request asked again is the same whatever another release has written besides, and another pod's is not", () => {
  const text = JSON.stringify(parsePodRequest(ID, pod, NETNS));
  expect(isSameRequest(text, JSON.stringify({ later: 1, ...JSON.parse(text) }))).toBe(true);
  expect(isSameRequest(text, JSON.stringify({ ...JSON.parse(text), podName: "other" }))).toBe(false);
});
