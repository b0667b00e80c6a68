import { describe, expect, test } from "vitest";
import { parseForwarderConfig } from "./apf-config.ts";
import { inVm, readSettings } from "./settings.ts";

describe("the guest's environment", () => {
  test("empty, gives the stock image's places", () => {
    expect(readSettings({ PEERPOD_GUEST_PORT: "" })).toMatchObject({
      rootless: false,
      userDataPath: "/media/cidata/user-data",
      address: "0.0.0.0",
      port: 15150,
      root: "",
      imagesDir: "/opt/peerpod/images",
      agentVersion: "4.1.0",
    });
  });

  test.each([
    ["PEERPOD_GUEST_ROOTLESS", "yes"],
    ["PEERPOD_GUEST_PORT", "70000"],
    ["PEERPOD_GUEST_ADDRESS", "localhost"],
    ["PEERPOD_GUEST_ROOT", "relative"],
    ["PEERPOD_GUEST_AGENT_VERSION", "latest"],
  ])("%s=%s is refused by name", (key, value) => {
    expect(() => readSettings({ [key]: value })).toThrow(key);
  });

  test("a private root goes before every path of the VM", () => {
    expect(inVm("/tmp/vm", "/run/peerpod")).toBe("/tmp/vm/run/peerpod");
    expect(inVm("", "/run/peerpod")).toBe("/run/peerpod");
  });
});

describe("apf.json", () => {
  const network = {
    podip: "10.88.0.14/16",
    "pod-hw-addr": "ea:e9:41:94:91:40",
    interface: "eth0",
    "worker-node-ip": "192.0.2.2/24",
    "tunnel-type": "vxlan",
    mtu: 1500,
    "vxlan-port": 4789,
    "vxlan-id": 555000,
    neighbors: null,
  };
  const withNetwork = (change: object) => JSON.stringify({ "pod-network": { ...network, ...change } });

  test.each([{ dst: "::ffff:0.0.0.0/0" }, { dst: "0.0.0.0/0" }, { dst: "" }, {}])(
    "a default route may be spelled %j",
    (route) => {
      const config = parseForwarderConfig(
        withNetwork({ routes: [{ ...route, gw: "10.88.0.1", dev: "eth0" }] }),
      );
      expect(config.podNetwork?.routes).toEqual([
        { dst: "0.0.0.0/0", gateway: "10.88.0.1", device: "eth0", protocol: "", scope: "" },
      ]);
    },
  );

  test.each([
    [{ podip: "" }, "podip"],
    [{ podip: "10.88.0.14/33" }, "podip"],
    [{ "tunnel-type": "gre" }, "tunnel-type"],
    [{ interface: "eth0 up; reboot" }, "interface"],
    [{ routes: [{ dst: "fd00::/8", dev: "eth0" }] }, "routes.0.dst"],
  ])("%j is refused by its field", (change, field) => {
    expect(() => parseForwarderConfig(withNetwork(change))).toThrow(field);
  });

  test("without a pod network is accepted, as fields that are not known are", () => {
    expect(parseForwarderConfig('{"pod-name":"p","new-field":1}')).toMatchObject({ podName: "p" });
  });
});
