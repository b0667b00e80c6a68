import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { systemClock } from "../../../src/platform/index.ts";
import { machineRoomBooter, nullBooter } from "../azure/index.ts";
import { FakeIbm } from "./fake-ibm.ts";
import { serveFakeIbm } from "./https-server.ts";
import { defaultSettings, IMAGE } from "./settings.ts";

// The fake cloud as a process: `node test/fakes/ibmcloud/main.ts --ca-file ca.pem --machine-room mock-cloud.sock`. Prints one line of JSON
// with the environment of an adaptor that is to use it, and serves until it is ended.

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    "ca-file": { type: "string" },
    "machine-room": { type: "string" },
    "create-ms": { type: "string", default: "1000" },
    "delete-ms": { type: "string", default: "500" },
    "api-key": { type: "string" },
    // So many creates are refused, with a text that quotes all that was sent.
    "echo-creates": { type: "string", default: "0" },
  },
});
const apiKey = values["api-key"];
const settings = { ...defaultSettings(), ...(apiKey === undefined ? {} : { apiKeys: [apiKey] }) };
const fake = new FakeIbm({
  clock: systemClock,
  booter: values["machine-room"] === undefined ? nullBooter() : machineRoomBooter(values["machine-room"]),
  settings: {
    pageSize: 50,
    createMs: Number(values["create-ms"]),
    deleteMs: Number(values["delete-ms"]),
    companionLagMs: 0,
    apiKeys: settings.apiKeys,
  },
});
const echo = { text: "" };
if (Number(values["echo-creates"]) > 0)
  fake.fault({
    on: ({ method, url, body }) => {
      if (method !== "POST" || !url.pathname.endsWith("/instances")) return false;
      const sent: unknown = JSON.parse(body);
      const userData: unknown = typeof sent === "object" && sent !== null && Reflect.get(sent, "user_data");
      // As a parser does that quotes from where it stumbled.
      const quoted = String(userData).slice(String(userData).indexOf("tls-server-key"));
      echo.text = `The field user_data has the value '${quoted}', which is not valid. ${body}`;
      return true;
    },
    kind: 400,
    code: "validation_failed",
    get message() {
      return echo.text;
    },
    count: Number(values["echo-creates"]),
  });
const server = await serveFakeIbm(fake, Number(values.port));
if (values["ca-file"] !== undefined) await writeFile(values["ca-file"], server.caPem);
const environment = {
  ...(values["ca-file"] === undefined ? {} : { NODE_EXTRA_CA_CERTS: values["ca-file"] }),
  IBMCLOUD_API_KEY: settings.apiKeys[0] ?? "",
  IBMCLOUD_IAM_ENDPOINT: `${server.url}/identity/token`,
  IBMCLOUD_VPC_ENDPOINT: `${server.url}/v1`,
  IBMCLOUD_TAGGING_ENDPOINT: server.url,
  IBMCLOUD_CONTAINERS_ENDPOINT: `${server.url}/global`,
  IBMCLOUD_ZONE: "eu-de-1",
  IBMCLOUD_VPC_ID: settings.vpcId,
  IBMCLOUD_VPC_SUBNET_ID: settings.subnets[0]?.id ?? "",
  IBMCLOUD_SECURITY_GROUP_IDS: settings.securityGroups[0]?.id ?? "",
  IBMCLOUD_RESOURCE_GROUP_ID: settings.resourceGroupId,
  IBMCLOUD_PODVM_IMAGE_ID: IMAGE,
  IBMCLOUD_PODVM_INSTANCE_PROFILE_NAME: "bx3dc-2x10",
  DISABLECVM: "false",
};
process.stdout.write(`${JSON.stringify(environment)}\n`);
for (const name of ["SIGTERM", "SIGINT"] as const) {
  process.once(name, () => {
    void server[Symbol.asyncDispose]();
  });
}
