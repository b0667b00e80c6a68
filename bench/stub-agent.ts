// The stub agent as a process: an ordinary ttrpc server on a unix socket, its one argument.
import { rmSync } from "node:fs";
import { createServer } from "node:net";
import { stubAgent } from "./stub-agent-service.ts";

const [, , path = ""] = process.argv;
rmSync(path, { force: true });
stubAgent().serveListener(createServer().listen(path));
