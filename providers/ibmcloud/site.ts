import { type CaaError, invalidConfig } from "../../src/errors/index.ts";
import type { Clock, Log } from "../../src/platform/index.ts";
import type { OwnerIdentity } from "../contract.ts";
import { type IbmApi, toCaaError, untilAborted, vpcEndpoint, type Worker } from "./api/index.ts";
import { clusterOf, type IbmConfig, MAX_SECURITY_GROUPS } from "./config.ts";

/** A subnet and the zone that it is in. */
export interface Spot {
  readonly subnetId: string;
  readonly zone: string;
}

/** Where VMs go, all of it known. */
export interface Site {
  readonly vpcId: string;
  readonly resourceGroupId: string;
  /** In order of preference, at least one. */
  readonly spots: readonly Spot[];
  /** Empty: the VPC's default group. */
  readonly securityGroupIds: readonly string[];
  /** Those in the first spot's zone; "": none. */
  readonly hostId: string;
  readonly groupId: string;
}

interface SiteDeps {
  readonly config: IbmConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly owner: OwnerIdentity;
}

/** What the cluster's own worker tells about our place. */
interface Home {
  readonly vpcId: string;
  readonly subnetId: string;
  readonly zone: string;
}

/** Finds out, once, what the settings leave open: from the cluster, its worker on this node, and the subnet. */
export class SiteFinder {
  readonly #deps: SiteDeps;
  #home: Promise<Home> | undefined;
  #site: Promise<Site> | undefined;

  constructor(deps: SiteDeps) {
    this.#deps = deps;
  }

  /** The VPC endpoint of our region. */
  async endpoint(api: IbmApi): Promise<string> {
    const { config } = this.#deps;
    if (config.vpcUrl !== "") return config.vpcUrl;
    return vpcEndpoint(config.zone || (await this.#findHome(api)).zone);
  }

  /** A failure is not remembered. Throws `invalid-config` for what the operator must set. */
  async find(api: IbmApi, signal: AbortSignal): Promise<Site> {
    const pending = this.#site ?? this.#find(api);
    this.#site = pending;
    pending.catch(() => {
      if (this.#site === pending) this.#site = undefined;
    });
    try {
      return await untilAborted(pending, signal);
    } catch (error) {
      throw this.#explain(error, "find out where pod VMs go", signal);
    }
  }

  async #find(api: IbmApi): Promise<Site> {
    const { config } = this.#deps;
    // Others may be waiting for the same answers, so they are nobody's to cancel; each call has its own time limit.
    const signal = new AbortController().signal;
    const open = config.vpcId === "" || config.subnetId === "" || config.zone === "";
    const home = open ? await this.#findHome(api) : undefined;
    const subnetId = config.subnetId || (home?.subnetId ?? "");
    const subnet = open ? await api.subnet(subnetId, signal) : undefined;
    const zone = config.zone || (subnet?.zone?.name ?? home?.zone ?? "");
    const vpcId = config.vpcId || (subnet?.vpc?.id ?? home?.vpcId ?? "");
    const missing = [
      ["IBMCLOUD_VPC_ID", vpcId],
      ["IBMCLOUD_VPC_SUBNET_ID", subnetId],
      ["IBMCLOUD_ZONE", zone],
    ].find(([, value]) => value === "");
    if (missing) throw invalidConfig(`${missing[0]} is not set, and the cluster does not tell it: set it`);
    const fallbacks = await Promise.all(config.fallbackSubnetIds.map((id) => api.subnet(id, signal)));
    return {
      vpcId,
      resourceGroupId: config.resourceGroupId || (subnet?.resource_group?.id ?? ""),
      spots: [
        { subnetId, zone },
        ...fallbacks.map((one) => ({ subnetId: one.id, zone: one.zone?.name ?? "" })),
      ],
      securityGroupIds: await this.#securityGroups(api, signal),
      hostId: await this.#inZone("dedicated host", config.hostIds, {
        zone,
        read: (id) => api.dedicatedHost(id, signal),
      }),
      groupId: await this.#inZone("dedicated host group", config.hostGroupIds, {
        zone,
        read: (id) => api.dedicatedGroup(id, signal),
      }),
    };
  }

  async #findHome(api: IbmApi): Promise<Home> {
    this.#home ??= this.#askCluster(api);
    try {
      return await this.#home;
    } catch (error) {
      this.#home = undefined;
      throw error;
    }
  }

  async #askCluster(api: IbmApi): Promise<Home> {
    const { config, owner } = this.#deps;
    const clusterId = clusterOf(config, owner.clusterId);
    if (clusterId === "") throw invalidConfig("IBMCLOUD_ZONE is not set: set it, or IBMCLOUD_CLUSTER_ID");
    const signal = new AbortController().signal;
    const [cluster, workers] = await Promise.all([
      api.cluster(clusterId, signal),
      api.workers(clusterId, signal),
    ]);
    const worker = ourWorker(workers, { node: owner.nodeName, zone: config.zone });
    if (!worker) {
      throw invalidConfig(
        `cluster ${clusterId} has no worker that is node ${owner.nodeName}${config.zone ? ` or is in ${config.zone}` : ""}: set IBMCLOUD_ZONE, IBMCLOUD_VPC_ID and IBMCLOUD_VPC_SUBNET_ID`,
      );
    }
    return {
      vpcId: cluster.vpcs[0] ?? "",
      subnetId: worker.networkInterfaces[0]?.subnetID ?? "",
      zone: worker.location,
    };
  }

  /** The configured groups and the cluster's own. Without either: VPC's default. */
  async #securityGroups(api: IbmApi, signal: AbortSignal): Promise<readonly string[]> {
    const { config, owner } = this.#deps;
    const clusterId = clusterOf(config, owner.clusterId);
    if (clusterId === "") return config.securityGroupIds;
    const name = `kube-${clusterId}`;
    try {
      const own = (await api.clusterGroups(clusterId, signal)).find((group) => group.name === name);
      if (!own)
        throw invalidConfig(
          `cluster ${clusterId} has no security group ${name}: set IBMCLOUD_SECURITY_GROUP_IDS`,
        );
      const all = [...new Set([...config.securityGroupIds, own.id])];
      if (all.length <= MAX_SECURITY_GROUPS) return all;
      throw invalidConfig(
        `IBMCLOUD_SECURITY_GROUP_IDS has ${config.securityGroupIds.length} groups, and with the cluster's own an interface takes ${MAX_SECURITY_GROUPS}: leave one out`,
      );
    } catch (error) {
      if (config.securityGroupIds.length === 0 || config.securityGroupIds.length === MAX_SECURITY_GROUPS)
        throw error;
      const problem = this.#explain(error, "find the cluster's security group", signal);
      this.#deps.log.warn("the cluster's security group is left out", {
        step: "site",
        error: problem.message,
      });
      return config.securityGroupIds;
    }
  }

  /** The first of the ids that is in our zone; "" when none is configured. */
  async #inZone(
    what: string,
    ids: readonly string[],
    how: {
      readonly zone: string;
      readonly read: (id: string) => Promise<{ readonly zone?: { readonly name: string } | undefined }>;
    },
  ): Promise<string> {
    if (ids.length === 0) return "";
    const found = await Promise.all(
      ids.map(async (id) => ({ id, zone: (await how.read(id)).zone?.name ?? "" })),
    );
    const [first, ...more] = found.filter((one) => one.zone === how.zone);
    if (!first) {
      const places = found.map((one) => `${one.id} in ${one.zone}`).join(", ");
      throw invalidConfig(`no configured ${what} is in ${how.zone}, where the VMs go: there are ${places}`);
    }
    if (more.length > 0)
      this.#deps.log.warn(`more than one ${what} is in ${how.zone}: the first is used`, { step: "site" });
    return first.id;
  }

  #explain(error: unknown, what: string, signal: AbortSignal): CaaError {
    const failed = toCaaError(error, { what, nowMs: this.#deps.clock.wallMs(), signal });
    if (failed.kind !== "gone") return failed;
    return invalidConfig(`${failed.message}: a cluster, subnet or host that is configured does not exist`, {
      cause: failed,
    });
  }
}

/** The worker that is this node: IKS names nodes by their address. Else one in our zone will do: it is the same VPC. */
function ourWorker(
  workers: readonly Worker[],
  us: { readonly node: string; readonly zone: string },
): Worker | undefined {
  const short = us.node.split(".")[0] ?? "";
  return (
    workers.find((one) => one.networkInterfaces.some(({ ipAddress }) => ipAddress === us.node)) ??
    workers.find((one) => one.id === us.node || (short !== "" && one.id.endsWith(short))) ??
    workers.find((one) => us.zone !== "" && one.location === us.zone)
  );
}
