import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { systemClock } from "../../../src/platform/index.ts";
import { nullBooter } from "./booter.ts";
import { FakeAzure } from "./fake-azure.ts";
import { serveFakeAzure } from "./https-server.ts";
import { machineRoomBooter } from "./machine-room-booter.ts";
import { defaultSettings, GROUP, IMAGE, SUBSCRIPTION } from "./settings.ts";

// The fake cloud as a process: `node test/fakes/azure/main.ts --ca-file ca.pem --machine-room mock-cloud.sock`. Prints one line of JSON
// with the environment of an adaptor that is to use it, and serves until it is ended.

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    "ca-file": { type: "string" },
    "machine-room": { type: "string" },
    "create-ms": { type: "string", default: "1000" },
    "delete-ms": { type: "string", default: "500" },
    "client-secret": { type: "string", default: "of-the-fake" },
    // So many creates are refused, with a text that quotes all that was sent.
    "echo-creates": { type: "string", default: "0" },
  },
});
const TENANT = "aaaaaaaa-2222-3333-4444-555555555555";
const CLIENT = "bbbbbbbb-2222-3333-4444-555555555555";
const SECRET = values["client-secret"];

const settings = defaultSettings();
const fake = new FakeAzure({
  clock: systemClock,
  booter: values["machine-room"] === undefined ? nullBooter() : machineRoomBooter(values["machine-room"]),
  settings: { pageSize: 50, createMs: Number(values["create-ms"]), deleteMs: Number(values["delete-ms"]) },
});
const echo = { text: "" };
if (Number(values["echo-creates"]) > 0)
  fake.fault({
    on: ({ method, url, body }) => {
      if (method !== "PUT" || !/virtualMachines/i.test(url.pathname)) return false;
      const sent: unknown = JSON.parse(body);
      const properties: unknown =
        typeof sent === "object" && sent !== null && Reflect.get(sent, "properties");
      const userData: unknown =
        typeof properties === "object" && properties !== null && Reflect.get(properties, "userData");
      // As a parser does that quotes from where it stumbled.
      const stumbled = Buffer.from(String(userData), "base64").indexOf("tls-server-key");
      const quoted = String(userData).slice(Math.floor(stumbled / 3) * 4);
      echo.text = `The value '${quoted}' of parameter 'userData' is invalid. ${body}`;
      return true;
    },
    kind: 400,
    code: "InvalidParameter",
    get message() {
      return echo.text;
    },
    count: Number(values["echo-creates"]),
  });
const server = await serveFakeAzure(
  fake,
  { tenantId: TENANT, clientId: CLIENT, clientSecret: SECRET },
  Number(values.port),
);
if (values["ca-file"] !== undefined) await writeFile(values["ca-file"], server.caPem);
const environment = {
  ...(values["ca-file"] === undefined ? {} : { NODE_EXTRA_CA_CERTS: values["ca-file"] }),
  AZURE_AUTHORITY_HOST: server.url,
  AZURE_RESOURCE_MANAGER_ENDPOINT: server.url,
  AZURE_TENANT_ID: TENANT,
  AZURE_CLIENT_ID: CLIENT,
  AZURE_CLIENT_SECRET: SECRET,
  AZURE_SUBSCRIPTION_ID: SUBSCRIPTION,
  AZURE_RESOURCE_GROUP: GROUP,
  AZURE_REGION: settings.region,
  AZURE_SUBNET_ID: settings.subnetId,
  AZURE_NSG_ID: settings.securityGroupId,
  AZURE_IMAGE_ID: IMAGE,
};
process.stdout.write(`${JSON.stringify(environment)}\n`);
for (const name of ["SIGTERM", "SIGINT"] as const) {
  process.once(name, () => {
    void server[Symbol.asyncDispose]();
  });
}
