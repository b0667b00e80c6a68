export {
  BACKDATE_MS,
  type CertificateFacts,
  type Certified,
  inspectCertificate,
  isKeyOf,
  issueAuthority,
  issueServerCertificate,
  splitCertificates,
} from "./authority.ts";
export { type CustomIdentity, loadCustomIdentity } from "./custom-identity.ts";
export { issueVmIdentity, type VmIdentity } from "./issue.ts";
export {
  CUSTOM_SERVER_NAME,
  type TlsClientInput,
  type TlsServerInput,
  tlsClientOptions,
  tlsServerOptions,
} from "./options.ts";
export {
  DEFAULT_TLS_PROFILE,
  parseTlsProfile,
  profileOptions,
  type TlsProfile,
  tlsProfileWarnings,
} from "./profile.ts";
