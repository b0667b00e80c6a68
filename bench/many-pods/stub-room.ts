// A machine room in one process for hundreds of pods: the mock cloud's own books and API, over VMs that are addresses of this process.
// Arguments: the API's socket, the subnet of the VMs, and `rootless` where adaptors shall make no tunnels.
import { AddressPool, parseSubnet } from "../../providers/mock/mock-cloud/addresses.ts";
import { MockCloud } from "../../providers/mock/mock-cloud/cloud.ts";
import { DEFAULT_SETTINGS } from "../../providers/mock/mock-cloud/config.ts";
import { Faults } from "../../providers/mock/mock-cloud/faults.ts";
import { serveHttp } from "../../providers/mock/mock-cloud/http-server.ts";
import { createLog, systemClock } from "../../src/platform/index.ts";
import { stubAgent } from "../stub-agent-service.ts";
import { stubMachines } from "./stub-machines.ts";

const [, , socket = "", prefix = "", mode = ""] = process.argv;
const subnet = parseSubnet(prefix);
if (subnet === undefined) throw new Error(`${prefix} is not an IPv4 prefix between /8 and /29`);
const deps = { clock: systemClock, log: createLog("warn", "stub-room") };
const rootless = mode === "rootless";
const machines = stubMachines({ pool: new AddressPool(subnet), agent: stubAgent(), rootless });
// Every VM needs an image by the API's rules; nothing is ever run.
const images = { defaultImage: process.execPath, imagesDir: "" };
const cloud = new MockCloud({ ...deps, machines, images }, DEFAULT_SETTINGS);
const status = () => ({
  instance: "stub-room",
  rootless,
  image: images.defaultImage,
  userDataLimitBytes: cloud.settings.userDataLimitBytes,
  vms: cloud.quota().used,
  quota: cloud.settings.quota,
  pid: process.pid,
});
await serveHttp(
  { ...deps, cloud, faults: new Faults(), status, inventory: () => machines.inventory() },
  socket,
);
