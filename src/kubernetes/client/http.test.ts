import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { readBody, readLines, send } from "./http.ts";

/** An answer whose body comes in these pieces. */
async function withAnswer<T>(
  pieces: readonly Buffer[],
  use: (answer: IncomingMessage) => Promise<T>,
): Promise<T> {
  const server = createServer((_request, response) => {
    void (async () => {
      for (const piece of pieces) if (!response.write(piece)) await once(response, "drain");
      response.end();
    })();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  try {
    const endpoint = {
      server: `http://127.0.0.1:${port}`,
      requestOptions: async () => ({ headers: {}, agent: false as const }),
      [Symbol.dispose]: () => undefined,
    };
    const request = {
      method: "GET",
      path: "/",
      headers: {},
      body: undefined,
      signal: new AbortController().signal,
    };
    return await use(await send(endpoint, request));
  } finally {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
}

const cut = (text: Buffer, at: readonly number[]): Buffer[] => {
  const ends = [...new Set(at.map((n) => n % (text.length + 1)))].sort((a, b) => a - b);
  return [...ends, text.length].map((end, index) => text.subarray(index === 0 ? 0 : ends[index - 1], end));
};

test("the events of a watch are the same however the network cuts them", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.string({ unit: "binary", minLength: 1 }).map((value) => JSON.stringify({ value })),
        { maxLength: 8 },
      ),
      fc.array(fc.nat(), { maxLength: 8 }),
      async (lines, at) => {
        const body = Buffer.from(lines.map((line) => `${line}\n`).join(""));
        const seen: string[] = [];
        await withAnswer(cut(body, at), async (answer) => {
          for await (const line of readLines(answer)) seen.push(line);
        });
        expect(seen).toEqual(lines);
      },
    ),
    { numRuns: 30 },
  );
});

test("an event or an answer without end is given up", async () => {
  const piece = Buffer.alloc(1024 * 1024, "x");
  const pieces = Array.from({ length: 66 }, () => piece);
  await expect(
    withAnswer(pieces, async (answer) => {
      for await (const line of readLines(answer)) expect(line).toBe("never");
    }),
  ).rejects.toMatchObject({ kind: "too-large" });
  await expect(withAnswer(pieces, readBody)).rejects.toMatchObject({ kind: "too-large" });
});
