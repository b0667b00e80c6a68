import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:https";
import * as v from "valibot";
import { createCertificatePem } from "../../src/tls/certificate.ts";
import { endpointAddress } from "./cluster-api.ts";

const BACKDATE_MS = 60_000;
const DAY_MS = 24 * 60 * 60 * 1000;

interface PatchingWebhook extends AsyncDisposable {
  readonly port: number;
  /** Authority of its certificate, PEM. */
  readonly ca: string;
}

const Review = v.object({ request: v.object({ uid: v.string() }) });

/** A TLS server that answers every admission review with this patch, under a certificate for `serverName`. */
export async function startWebhook(serverName: string, patch: readonly unknown[]): Promise<PatchingWebhook> {
  const newKeys = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
  const validity = { notBeforeMs: Date.now() - BACKDATE_MS, notAfterMs: Date.now() + DAY_MS };
  const issuer = { subject: { organisation: "test" }, keys: newKeys() };
  const keys = newKeys();
  const cert = createCertificatePem({
    ...validity,
    subject: { organisation: "test", serverName },
    keys,
    usage: "serverAuth",
    authority: false,
    issuer,
  });
  const key = keys.privateKey.export({ type: "pkcs8", format: "pem" });
  const server = createServer({ cert, key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { request: asked } = v.parse(Review, JSON.parse(Buffer.concat(chunks).toString()));
      const answer = {
        uid: asked.uid,
        allowed: true,
        patchType: "JSONPatch",
        patch: Buffer.from(JSON.stringify(patch)).toString("base64"),
      };
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response: answer }),
      );
    });
  });
  server.listen(0, endpointAddress());
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const ca = createCertificatePem({ ...validity, ...issuer, usage: "serverAuth", authority: true });
  return {
    port,
    ca,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
