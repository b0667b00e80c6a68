export { type ApiAnswer, type Call, FakeApi, type Fault, failure } from "./fake-api.ts";
export { type FakeApiServer, serveFakeApi } from "./https-server.ts";
