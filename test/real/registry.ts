import { once } from "node:events";
import { createReadStream, existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";

/** A registry that runs. */
export interface Registry {
  /** Port on 127.0.0.1. */
  readonly port: number;
  close(): void;
}

/**
 * Serves one image of an OCI layout, whatever name and tag it is asked by. The part of the distribution specification (1.0, "Pull") that
 * containerd needs: manifests by tag or digest, blobs by digest.
 */
export async function serveImage(
  layoutDir: string,
  manifest: { digest: string; mediaType: string },
): Promise<Registry> {
  const blobPath = (digest: string): string => join(layoutDir, "blobs", ...digest.split(":"));
  const body = await readFile(blobPath(manifest.digest));
  const server = createServer((request, response) => {
    const url = request.url ?? "";
    const [, kind, reference = ""] = /^\/v2\/[a-z]+\/(manifests|blobs)\/([\w:.-]+)$/.exec(url) ?? [];
    if (url === "/v2/") return void response.end();
    if (kind === "manifests" && (!reference.startsWith("sha256:") || reference === manifest.digest)) {
      response.setHeader("content-type", manifest.mediaType);
      response.setHeader("docker-content-digest", manifest.digest);
      response.setHeader("content-length", body.length);
      return void response.end(request.method === "HEAD" ? undefined : body);
    }
    if (kind === "blobs" && /^sha256:[0-9a-f]{64}$/.test(reference) && existsSync(blobPath(reference)))
      return void createReadStream(blobPath(reference)).pipe(response);
    response.writeHead(404).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the registry has no port");
  return { port: address.port, close: () => void server.close() };
}
