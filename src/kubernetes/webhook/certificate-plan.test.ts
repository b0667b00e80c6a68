import { describe, expect, test } from "vitest";
import { Secret } from "../../platform/index.ts";
import { BACKDATE_MS, inspectCertificate } from "../../tls/index.ts";
import { type Certificates, readCertificates, renew, writeCertificates } from "./certificate-plan.ts";

const HOUR_MS = 3_600_000;
const rules = { dnsNames: ["hook.space.svc"], validityMs: 90 * 24 * HOUR_MS, overlapMs: HOUR_MS };
const START_MS = Date.UTC(2026, 10, 26);

const first = async (): Promise<Certificates> => (await renew(undefined, rules, START_MS)).certificates;

describe("the webhook's own certificates", () => {
  test("are made when there are none, and are left alone while they are good", async () => {
    const { certificates, made } = await renew(undefined, rules, START_MS);
    expect(made).toEqual(["an authority", "a serving certificate"]);
    expect(certificates.authorities).toHaveLength(1);
    const later = await renew(certificates, rules, START_MS + 59 * 24 * HOUR_MS);
    expect(later).toEqual({ certificates, made: [] });
    expect(later.certificates).toBe(certificates);
  });

  test("are renewed under the same authority when a third of their time is left", async () => {
    const certificates = await first();
    const later = await renew(certificates, rules, START_MS + 61 * 24 * HOUR_MS);
    expect(later.made).toEqual(["a serving certificate"]);
    expect(later.certificates.authorities).toEqual(certificates.authorities);
  });

  test("are renewed at once for other names", async () => {
    const other = { ...rules, dnsNames: ["hook.space.svc", "localhost"] };
    const { certificates, made } = await renew(await first(), other, START_MS);
    expect(made).toEqual(["a serving certificate"]);
    expect(inspectCertificate(certificates.serving.certPem).dnsNames).toEqual(other.dnsNames);
  });

  test("are made anew when nobody has looked for so long that all have ended", async () => {
    const late = await renew(await first(), rules, START_MS + 5 * 365 * 24 * HOUR_MS);
    expect(late.made).toEqual(["an authority", "a serving certificate"]);
    expect(late.certificates.authorities).toHaveLength(1);
  });

  test("over the years never end while served, nor come from an authority that was published for less than the overlap", async () => {
    let certificates = await first();
    const publishedSince = new Map(certificates.authorities.map((pem) => [pem, Number.NEGATIVE_INFINITY]));
    let authorities = 1;
    for (let nowMs = START_MS; nowMs < START_MS + 6 * 365 * 24 * HOUR_MS; nowMs += 6 * 24 * HOUR_MS) {
      for (const at of [nowMs, nowMs + HOUR_MS / 2, nowMs + 2 * HOUR_MS]) {
        const before = certificates;
        certificates = (await renew(before, rules, at)).certificates;
        for (const pem of certificates.authorities) {
          if (!publishedSince.has(pem)) authorities++;
          if (!publishedSince.has(pem)) publishedSince.set(pem, at);
        }
        const { notAfterMs, notBeforeMs, isIssuedBy } = inspectCertificate(certificates.serving.certPem);
        const signer = certificates.authorities.find(isIssuedBy) ?? "";
        expect(notAfterMs - at).toBeGreaterThan(rules.validityMs / 4);
        expect(notBeforeMs + BACKDATE_MS - (publishedSince.get(signer) ?? at)).toBeGreaterThanOrEqual(
          rules.overlapMs,
        );
        // What a slower replica still serves is known to the API server too.
        expect(certificates.authorities.some(inspectCertificate(before.serving.certPem).isIssuedBy)).toBe(
          true,
        );
        expect(certificates.authorities.length).toBeLessThanOrEqual(2);
      }
    }
    expect(authorities).toBe(3);
  });
});

describe("the Secret", () => {
  test("gives back what was put in, and has the keys of a TLS Secret", async () => {
    const certificates = await first();
    const data = writeCertificates(certificates);
    expect(Object.keys(data).sort()).toEqual(["ca.crt", "ca.key", "tls.crt", "tls.key"]);
    const read = readCertificates(data);
    expect(read?.authorities).toEqual(certificates.authorities);
    expect(read?.serving.keyPem.reveal()).toBe(certificates.serving.keyPem.reveal());
    expect(JSON.stringify(read)).not.toContain("PRIVATE KEY");
  });

  test.each(["tls.crt", "tls.key", "ca.crt", "ca.key"])("without a good %s counts as empty", async (key) => {
    const data = writeCertificates(await first());
    const stranger = writeCertificates(await first());
    for (const value of ["", "AAAA", stranger[key] ?? ""]) {
      expect(readCertificates({ ...data, [key]: value })).toBeUndefined();
    }
    expect(readCertificates(undefined)).toBeUndefined();
  });
});

test("an authority whose key was lost is succeeded, not mixed with another key", async () => {
  const certificates = { ...(await first()), authorityKey: new Secret("") };
  const late = START_MS + 61 * 24 * HOUR_MS;
  await expect(renew(certificates, rules, late)).rejects.toMatchObject({ kind: "invalid-config" });
});
