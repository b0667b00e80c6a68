import { cp } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { ImagePullServiceDefinition } from "../../../src/gen/agent/confidential_data_hub.ts";
import { TtrpcServer } from "../../../src/ttrpc/index.ts";

/**
 * Stands for the confidential data hub of a pod VM: "pulls" every image by copying one root file system, given as the
 * first argument. Listens on the second, the socket that kata-agent dials.
 */
const [rootFs, socket] = process.argv.slice(2);
if (rootFs === undefined || socket === undefined) throw new Error("usage: image-hub.ts <rootfs> <socket>");

const server = new TtrpcServer();
server.register(ImagePullServiceDefinition, {
  pullImage: async ({ imageUrl, bundlePath }) => {
    await cp(rootFs, join(bundlePath, "rootfs"), { recursive: true, verbatimSymlinks: true });
    console.log(`pulled ${imageUrl} to ${bundlePath}`);
    return {};
  },
});
server.serveListener(createServer().listen(socket));
