import { describe, expect, test } from "vitest";
import { parseRoutes } from "./iproute-json.ts";
import { primaryInterface } from "./primary-interface.ts";

const primaryOf = (...routes: readonly object[]) =>
  primaryInterface(parseRoutes(JSON.stringify(routes.map((route) => ({ dst: "default", ...route })))));

describe("the primary interface", () => {
  test("is that of the default route with the lowest metric", () => {
    expect(
      primaryOf(
        { dev: "ens5", gateway: "10.0.0.1", metric: 200 },
        { dev: "wlan0", gateway: "10.1.0.1", metric: 100 },
      ),
    ).toEqual({ name: "wlan0", gateway: "10.1.0.1" });
  });

  test("is the lowest number among interfaces of the same kind, whatever their metrics", () => {
    expect(
      primaryOf(
        { dev: "eth1", gateway: "10.1.0.1", metric: 100 },
        { dev: "eth0", gateway: "10.0.0.1", metric: 200 },
      ),
    ).toEqual({
      name: "eth0",
      gateway: "10.0.0.1",
    });
    expect(primaryOf({ dev: "ens10" }, { dev: "ens9", metric: 1 })?.name).toBe("ens9");
    expect(primaryOf({ dev: "bond" }, { dev: "bond0", metric: 1 })?.name).toBe("bond0");
    expect(primaryOf({ dev: "eth0.100" }, { dev: "eth5", metric: 1 })?.name).toBe("eth5");
  });

  test("is none without a default route of one interface", () => {
    expect(primaryOf()).toBeUndefined();
    expect(primaryOf({ dst: "10.0.0.0/8", dev: "eth0" })).toBeUndefined();
    expect(primaryOf({ type: "unreachable" })).toBeUndefined();
    expect(primaryOf({ nexthops: [{ dev: "eth0" }, { dev: "eth1" }] })).toBeUndefined();
  });

  test("may have no gateway", () => {
    expect(primaryOf({ dev: "eth0", scope: "link" })).toEqual({ name: "eth0", gateway: "" });
  });
});
