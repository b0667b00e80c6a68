import { describeError, isCaaError } from "../../errors/index.ts";
import { type Clock, type Log, readTextFile, Secret } from "../../platform/index.ts";
import { type Certified, isKeyOf } from "../../tls/index.ts";
import {
  type ClusterClient,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  SECRETS,
  type SecretObject,
} from "../client/index.ts";
import {
  type CertificateRules,
  type Certificates,
  readCertificates,
  renew,
  writeCertificates,
} from "./certificate-plan.ts";

/** Takes a certificate into use. */
type Serve = (certificate: Certified) => Promise<void>;

/** Where the certificate comes from that the webhook serves with. */
export interface CertificateSource {
  /**
   * Hands over each certificate that is to be served from then on, until the signal aborts, and then resolves. What goes wrong is
   * logged and tried again.
   */
  run(serve: Serve, signal: AbortSignal): Promise<void>;
}

interface SourceDeps {
  readonly clock: Clock;
  readonly log: Log;
}

const MAX_FILE_BYTES = 1024 * 1024;
/** The kubelet brings a mounted Secret's change within a minute or so. */
const FOLDER_INTERVAL_MS = 10_000;
/** Soon, and then less often: the chart's other objects may come a little later than this process. */
const RETRY_MS = [1000, 2000, 5000, 10_000] as const;
/** How often a write is tried again at once because another replica was faster. */
const MAX_CONFLICTS = 5;

/** Certificates of somebody else's: `tls.crt` and `tls.key` in a folder, as cert-manager's Secret is mounted. */
export function folderCertificates(deps: SourceDeps, folder: string): CertificateSource {
  const { clock, log } = deps;
  let served = "";
  const look = async (serve: Serve): Promise<void> => {
    const certPem = await readTextFile(`${folder}/tls.crt`, MAX_FILE_BYTES);
    const keyPem = new Secret(await readTextFile(`${folder}/tls.key`, MAX_FILE_BYTES));
    if (certPem === served) return;
    // In the middle of a change the two may not belong together yet.
    if (!isKeyOf({ certPem, keyPem }))
      throw new Error("tls.key is not the key of the certificate in tls.crt");
    await serve({ certPem, keyPem });
    served = certPem;
    log.info("serving with the certificate of a folder", { folder });
  };
  return {
    run: (serve, signal) =>
      repeat(
        { clock, log, what: `the certificate in ${folder} cannot be used`, signal },
        FOLDER_INTERVAL_MS,
        () => look(serve),
      ),
  };
}

export interface ClusterCertificatesOptions extends CertificateRules {
  readonly namespace: string;
  readonly secretName: string;
  /** The MutatingWebhookConfiguration whose caBundle is kept. */
  readonly configurationName: string;
  readonly checkIntervalMs: number;
}

/** Certificates of our own: kept in a Secret that all replicas share, and made known to the API server before they are served. */
export function clusterCertificates(
  deps: SourceDeps & { readonly client: ClusterClient },
  options: ClusterCertificatesOptions,
): CertificateSource {
  const { clock, log, client } = deps;
  const secretRef = { namespace: options.namespace, name: options.secretName };
  let last: Certificates | undefined;

  const agree = async (signal: AbortSignal): Promise<Certificates> => {
    for (let conflicts = 0; ; conflicts++) {
      const secret = await client.get(SECRETS, secretRef, signal);
      // Somebody has emptied the Secret: what all replicas serve with is still good.
      const present = readCertificates(secret.data) ?? last;
      const { certificates, made } = await renew(present, options, clock.wallMs());
      const data = { ...secret.data, ...writeCertificates(certificates) };
      if (Object.entries(data).every(([key, value]) => secret.data?.[key] === value)) return certificates;
      const wanted: SecretObject = { ...secret, data };
      try {
        await client.replace(SECRETS, wanted, signal);
        const what = made.length === 0 ? "the ones in use" : made.join(" and ");
        log.info(`wrote the webhook's certificates: ${what}`, {
          secret: `${secretRef.namespace}/${secretRef.name}`,
        });
        return certificates;
      } catch (error) {
        if (!isCaaError(error, "conflict") || conflicts === MAX_CONFLICTS) throw error;
      }
    }
  };

  const look = async (serve: Serve, signal: AbortSignal): Promise<void> => {
    const certificates = await agree(signal);
    await publish(deps, options.configurationName, { authorities: certificates.authorities, signal });
    if (certificates.serving.certPem !== last?.serving.certPem) await serve(certificates.serving);
    last = certificates;
  };
  return {
    run: (serve, signal) =>
      repeat(
        { clock, log, what: "the webhook's certificates cannot be kept up", signal },
        options.checkIntervalMs,
        () => look(serve, signal),
      ),
  };
}

/** Makes the API server trust these authorities for every webhook of the configuration. */
async function publish(
  { client, log }: { readonly client: ClusterClient; readonly log: Log },
  name: string,
  { authorities, signal }: { readonly authorities: readonly string[]; readonly signal: AbortSignal },
): Promise<void> {
  const caBundle = Buffer.from(authorities.join("")).toString("base64");
  const configuration = await client.get(MUTATING_WEBHOOK_CONFIGURATIONS, { name }, signal);
  const operations = (configuration.webhooks ?? []).flatMap((webhook, index) =>
    webhook.clientConfig.caBundle === caBundle
      ? []
      : [
          { op: "test", path: `/webhooks/${index}/name`, value: webhook.name } as const,
          { op: "add", path: `/webhooks/${index}/clientConfig/caBundle`, value: caBundle } as const,
        ],
  );
  if (operations.length === 0) return;
  await client.patch(MUTATING_WEBHOOK_CONFIGURATIONS, { name }, { type: "json", operations }, signal);
  log.info("told the API server whom to trust for the webhook", {
    configuration: name,
    authorities: authorities.length,
  });
}

interface Repetition extends SourceDeps {
  readonly what: string;
  readonly signal: AbortSignal;
}

/** Does it now and every so often, sooner after a failure. A failure is told when it is another than the last. */
async function repeat(how: Repetition, intervalMs: number, doIt: () => Promise<void>): Promise<void> {
  const { clock, log, what, signal } = how;
  let failures = 0;
  let told = "";
  while (!signal.aborted) {
    let waitMs = intervalMs;
    try {
      await doIt();
      if (failures > 0) log.info(`${what}: no more`);
      failures = 0;
      told = "";
    } catch (error) {
      if (signal.aborted) return;
      waitMs = Math.min(intervalMs, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)] ?? intervalMs);
      failures++;
      const text = describeError(error);
      if (text !== told) log.error(`${what}; it is tried again`, { error: text });
      told = text;
    }
    await clock.sleep(waitMs, signal).catch(() => undefined); // The loop's head sees the abort.
  }
}
