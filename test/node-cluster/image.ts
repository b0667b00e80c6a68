import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { systemExec } from "../../src/platform/index.ts";
import type { Tools } from "./tools.ts";

const PROJECT: string = join(import.meta.dirname, "..", "..");
/** The name of the image of this run; the chart is told. */
export const IMAGE = { name: "localhost/cloud-api-adaptor", tag: "test-node" } as const;

/** An archive of the image that was made earlier, for who tries a case again and again. */
const GIVEN: string | undefined = process.env["IMAGE_ARCHIVE"];

/** Builds the image as `make image` does, and writes it as an archive into `dir`. Resolves to the archive's path. */
export async function exportImage({ tools }: Tools, dir: string): Promise<string> {
  if (GIVEN !== undefined) return GIVEN;
  const name = `${IMAGE.name}:${IMAGE.tag}`;
  const env = { ...process.env, IMAGE: name, TOOL: "buildah", STORAGE_DRIVER: "vfs" };
  const child = spawn(join(PROJECT, "deploy/image/build.sh"), {
    stdio: ["ignore", "inherit", "inherit"],
    env,
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`the image could not be built: exit status ${code}`);
  const archive = join(dir, "cloud-api-adaptor.tar");
  const run = async (...args: readonly string[]): Promise<void> => {
    const { code: status, stderr } = await systemExec.run([tools.buildah, ...args], {
      env: { STORAGE_DRIVER: "vfs" },
    });
    if (status !== 0) throw new Error(`buildah ${args.join(" ")}: ${stderr}`);
  };
  await run("push", name, `docker-archive:${archive}:${name}`);
  await run("rmi", name);
  return archive;
}
