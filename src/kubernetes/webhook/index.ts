export {
  type CertificateSource,
  type ClusterCertificatesOptions,
  clusterCertificates,
  folderCertificates,
} from "./certificates.ts";
export type { WebhookNotice } from "./notices.ts";
export {
  BAD_ANNOTATION_POLICIES,
  INIT_POLICIES,
  type MachineRequest,
  UNKNOWN_RESOURCE_POLICIES,
  type WebhookPolicy,
} from "./policy.ts";
export { parseQuantity } from "./quantity.ts";
export { WebhookServer, type WebhookServerOptions } from "./server.ts";
