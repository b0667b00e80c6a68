import { accessSync, constants } from "node:fs";
import { lstat, readdir, readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readManifests } from "../chart/manifests.ts";
import { BuiltImage } from "./built-image.ts";

const BUILD_TIMEOUT_MS = 12 * 60_000;
/** Without the base, which is not ours. */
const MOST_BYTES = 30e6;

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};
const isThere = (command: string): boolean =>
  [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"].some((dir) =>
    isExecutable(join(dir, command)),
  );

const needed = ["buildah", "debootstrap", "runc", "unshare"].filter((command) => !isThere(command));
if (process.getuid?.() !== 0) needed.unshift("root");
const suffix = needed.length > 0 ? ` (needs ${needed.join(", ")})` : "";

async function filesIn(
  folder: string,
): Promise<readonly { readonly path: string; readonly bytes: number }[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return await Promise.all(
    files.map(async (path) => ({ path: path.slice(folder.length), bytes: (await lstat(path)).size })),
  );
}

/** Rights of the adaptor's container as the chart has them. */
async function adaptorRights() {
  const text = await readFile(join(import.meta.dirname, "../../deploy/manifests/azure.yaml"), "utf8");
  const { securityContext } = readManifests(text).container("DaemonSet", "cloud-api-adaptor-daemonset");
  return { user: 0, capabilities: securityContext.capabilities.add };
}

const NOBODY = { user: 65532, capabilities: [] };

/** Each line fails by itself; what a tunnel is made of. */
const TUNNEL = [
  "nsenter --net=/run/netns/pod ip -json addr",
  "ip link add vxlan0 type vxlan id 555000 remote 192.0.2.2 dstport 4789 dev uplink",
  "ip link set vxlan0 netns /run/netns/pod",
  "nsenter --net=/run/netns/pod ip link set vxlan0 up",
  "nsenter --net=/run/netns/pod tc qdisc add dev vxlan0 ingress",
  "printf '*raw\\n-A PREROUTING -p udp --dport 4789 -j NOTRACK\\nCOMMIT\\n' | iptables-restore --noflush",
  "iptables -t raw -S PREROUTING",
];

describe.skipIf(needed.length > 0)(`the image${suffix}`, () => {
  let built: BuiltImage | undefined;
  const image = (): BuiltImage => {
    if (built === undefined) throw new Error("the image is there only while a test runs");
    return built;
  };

  beforeAll(async () => {
    built = await BuiltImage.build();
  }, BUILD_TIMEOUT_MS);

  afterAll(async () => {
    await built?.[Symbol.asyncDispose]();
  }, BUILD_TIMEOUT_MS);

  test("starts as any user without a right, and by the name that the Go adaptor's DaemonSet uses", async () => {
    const { code, stdout } = await image().run({ ...NOBODY, args: ["cloud-api-adaptor", "version"] });
    expect(stdout).toMatch(/^cloud-api-adaptor \d/);
    expect(code).toBe(0);
    const env = { CLOUD_PROVIDER: "azure" };
    const named = await image().run({ ...NOBODY, args: ["/usr/local/bin/entrypoint.sh"], env });
    expect(named.stderr).toContain("AZURE_SUBSCRIPTION_ID");
    expect(named.code).toBe(2);
  });

  test("has the rights for a tunnel with the capabilities that the chart gives, and a root that cannot be written", async () => {
    const script = ["set -ex", ...TUNNEL, "! touch /opt/written"].join("\n");
    const result = await image().run({
      ...(await adaptorRights()),
      args: ["sh", "-c", script],
      node: "ip netns add pod\nip link add uplink type veth peer name peer\nip link set uplink up",
    });
    expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining("-j NOTRACK") });
    expect(result.stderr).toContain("Read-only file system");
  });

  test("a tunnel without those capabilities is refused: the test above tells the difference", async () => {
    const node = "ip link add uplink type veth peer name peer";
    const args = ["sh", "-c", TUNNEL[1] ?? ""];
    const { code, stderr } = await image().run({ user: 0, capabilities: [], args, node });
    expect(code).not.toBe(0);
    expect(stderr).toContain("Operation not permitted");
  });

  test.each([0, 65532])("brings compiled code for user %i", async (user) => {
    const env = { NODE_DEBUG_NATIVE: "COMPILE_CACHE" };
    const args = ["cloud-api-adaptor", "help"];
    const { stdout, stderr } = await image().run({ user, capabilities: [], args, env });
    const lines = `${stdout}${stderr}`
      .split("\n")
      .filter((line) => line.includes("/opt/cloud-api-adaptor/dist/program/"));
    const read = lines.filter((line) => line.includes("reading cache"));
    expect(read.length).toBeGreaterThan(5);
    expect(read.filter((line) => !line.includes("success"))).toEqual([]);
  });

  test("has the bundle, its licences, and neither sources, packages, tests nor a package manager", async () => {
    const files = await filesIn(join(image().rootFs, "opt/cloud-api-adaptor"));
    const paths = files.map(({ path }) => path);
    const known =
      /^\/(package\.json|dist\/(program\/[\w.-]+\.mjs|compiled\/.+|THIRD-PARTY-NOTICES)|providers\/[\w/-]+\.sh)$/;
    expect(paths.filter((path) => !known.test(path))).toEqual([]);
    expect(paths).toContain("/providers/kvm/host/start.sh");
    const notices = await readFile(
      join(image().rootFs, "opt/cloud-api-adaptor/dist/THIRD-PARTY-NOTICES"),
      "utf8",
    );
    expect(notices).toContain("@grpc/grpc-js");
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    expect(bytes).toBeLessThan(MOST_BYTES);
  });
});
