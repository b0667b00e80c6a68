import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Secret } from "../../src/platform/index.ts";
import { Redactor } from "./redactor.ts";

const KEY = "MC4CAQAwBQYDK2VwBCIEIJ0lqPsF8J7xWcT0kZ2uYv5mB4hQnR1sD3gE6aKpXtLo";
const DOCUMENT = `#cloud-config\nwrite_files:\n  - path: /run/peerpod/apf.json\n    content: |\n      {"pod-name": "web-with-quite-a-long-name-7f9c4d5b8-abcde", "tls-server-key": "-----BEGIN PRIVATE KEY-----\\n${KEY}\\n-----END PRIVATE KEY-----\\n"}\n`;
const none = new Redactor([]);
const during = (text: string, harmless: readonly string[] = []): Promise<string> =>
  none.during(new Secret(DOCUMENT), harmless, async () => none.redact(text));

describe("passwords and keys", () => {
  const redactor = new Redactor([new Secret('pa"ss/word'), new Secret("x")]);

  test("are taken out as they are, in JSON and in URLs", () => {
    expect(redactor.redact('1 pa"ss/word 2')).toBe("1 [redacted] 2");
    expect(redactor.redact(JSON.stringify({ a: 'pa"ss/word' }))).toBe('{"a":"[redacted]"}');
    expect(redactor.redact("https://h/?s=pa%22ss%2Fword")).toBe("https://h/?s=[redacted]");
  });

  test("that are no more than a letter do not make a text unreadable", () => {
    expect(redactor.redact("an axe")).toBe("an axe");
  });
});

describe("a document", () => {
  test.each([
    ["as it is", DOCUMENT],
    ["in base64", Buffer.from(DOCUMENT).toString("base64")],
    ["in base64 of a larger thing", Buffer.from(`{"a":"${DOCUMENT}"}`).toString("base64")],
    ["in JSON", JSON.stringify({ userData: DOCUMENT })],
  ])("is taken out %s, whichever part of it is quoted", async (_how, text) => {
    for (let from = 0; from + 40 <= text.length; from += 7) {
      const quoted = text.slice(from, from + 200);
      const clean = await during(`400 Bad Request: '${quoted}' is not valid`);
      expect(clean).toContain("400 Bad Request");
      // What is left are pieces at the edges that hold less than a part.
      for (let at = 0; at + 48 <= quoted.length; at++) expect(clean).not.toContain(quoted.slice(at, at + 48));
    }
  });

  test("is no secret any more when the call is over, and other texts are let alone meanwhile", async () => {
    expect(await during("the size Standard_DC2as_v5 is not offered in westeurope")).toBe(
      "the size Standard_DC2as_v5 is not offered in westeurope",
    );
    expect(none.redact(DOCUMENT)).toBe(DOCUMENT);
  });

  test("does not take the names of pods and VMs with it", async () => {
    const pod = "web-with-quite-a-long-name-7f9c4d5b8-abcde";
    expect(await during(`cannot create VM podvm-${pod}-1`, [pod])).toBe(`cannot create VM podvm-${pod}-1`);
    expect(await during(`cannot create VM podvm-${pod}-1`)).toContain("[redacted]");
  });

  test("any part of 40 characters is found, wherever it stands in the text", () => {
    const random = fc.string({ unit: "grapheme-ascii", minLength: 0, maxLength: 60 });
    return fc.assert(
      fc.asyncProperty(random, random, fc.nat(DOCUMENT.length - 40), async (before, after, from) => {
        const part = DOCUMENT.slice(from, from + 40);
        expect(await during(`${before}${part}${after}`)).not.toContain(part);
      }),
    );
  });
});
