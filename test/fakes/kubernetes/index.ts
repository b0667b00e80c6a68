export { type ApiAnswer, type Call, FakeApi, type Fault, failure } from "./fake-api.ts";
export { FakeKubelet } from "./fake-kubelet.ts";
export { type FakeApiServer, serveFakeApi } from "./https-server.ts";
