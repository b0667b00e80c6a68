import { startCluster } from "./cluster.ts";

// A process that holds a cluster until it is ended: `hold-cluster.ts <etcd> <kube-apiserver>`. Prints the folder when it runs.

const [etcd = "", apiServer = ""] = process.argv.slice(2);
const cluster = await startCluster({ etcd, "kube-apiserver": apiServer });
process.stdout.write(`${cluster.dir}\n`);
setInterval(() => undefined, 60_000);
