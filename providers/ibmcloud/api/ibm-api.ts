import * as v from "valibot";
import { unavailable } from "../../../src/errors/index.ts";
import type { IbmCall, IbmConnection } from "./connection.ts";
import {
  Cluster,
  ClusterGroups,
  Host,
  Image,
  Instance,
  InstancePage,
  Key,
  Profile,
  SecurityGroup,
  Subnet,
  TagList,
  TagResults,
  type Vni,
  VniPage,
  Volume,
  VolumePage,
  type Worker,
  Workers,
} from "./models.ts";

/** Before 2026-09-01, which changes profiles. */
const VPC_VERSION = "2026-07-21";
const PAGE_LIMIT = "100";

export interface IbmEndpoints {
  /** The Kubernetes Service, `https://containers.cloud.ibm.com/global`. */
  readonly containers: string;
  /** Global Tagging, without `/v3`. */
  readonly tagging: string;
}

type Schema<T> = v.GenericSchema<unknown, T>;
interface WithName {
  readonly id: string;
  readonly name: string;
}
type Query = Readonly<Record<string, string>>;

/** What is told of an answer that is not as published; the rest of it may hold anything. */
function read<T>(schema: Schema<T>, body: unknown, what: string): T {
  const parsed = v.safeParse(schema, body);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  throw unavailable(`the answer of IBM Cloud to ${what} has no usable ${v.getDotPath(issue) ?? "body"}`);
}

/** The calls to IBM that are made here, typed. All throw what IbmConnection.send throws. */
export class IbmApi {
  readonly #connection: IbmConnection;
  readonly #endpoints: IbmEndpoints;
  readonly #vpc: () => Promise<string>;

  /** `vpc` tells the VPC endpoint, which may have to be found out first. */
  constructor(connection: IbmConnection, endpoints: IbmEndpoints, vpc: () => Promise<string>) {
    this.#connection = connection;
    this.#endpoints = endpoints;
    this.#vpc = vpc;
  }

  signIn(): Promise<void> {
    return this.#connection.signIn();
  }

  instance(id: string, signal: AbortSignal): Promise<Instance> {
    return this.#get(`/instances/${id}`, Instance, signal);
  }

  /** All pages. `name` is exact and unique in a region. */
  instances(
    filter: { readonly vpcId?: string; readonly name?: string },
    signal: AbortSignal,
  ): AsyncIterable<Instance> {
    const query: Query = {
      ...(filter.vpcId === undefined ? {} : { "vpc.id": filter.vpcId }),
      ...(filter.name === undefined ? {} : { name: filter.name }),
    };
    return this.#pages("/instances", query, {
      signal,
      items: (page) => {
        const { instances, next } = read(InstancePage, page, "the list of instances");
        return { items: instances, next };
      },
    });
  }

  async createInstance(body: object, signal: AbortSignal): Promise<Instance> {
    const reply = await this.#send({ method: "POST", path: "/instances", body }, signal);
    return read(Instance, reply, "the create of an instance");
  }

  async deleteInstance(id: string, signal: AbortSignal): Promise<void> {
    await this.#send({ method: "DELETE", path: `/instances/${id}` }, signal);
  }

  volume(id: string, signal: AbortSignal): Promise<Volume> {
    return this.#get(`/volumes/${id}`, Volume, signal);
  }

  /** All pages; by exact name, or by a user tag. */
  volumes(
    filter: { readonly name?: string; readonly tag?: string },
    signal: AbortSignal,
  ): AsyncIterable<Volume> {
    const query: Query = {
      ...(filter.name === undefined ? {} : { name: filter.name }),
      ...(filter.tag === undefined ? {} : { tag: filter.tag }),
    };
    return this.#pages("/volumes", query, {
      signal,
      items: (page) => {
        const { volumes, next } = read(VolumePage, page, "the list of volumes");
        return { items: volumes, next };
      },
    });
  }

  async deleteVolume(id: string, signal: AbortSignal): Promise<void> {
    await this.#send({ method: "DELETE", path: `/volumes/${id}` }, signal);
  }

  /** All pages; VPC has no filter by name here. */
  vnis(signal: AbortSignal): AsyncIterable<Vni> {
    return this.#pages(
      "/virtual_network_interfaces",
      {},
      {
        signal,
        items: (page) => {
          const { virtual_network_interfaces: items, next } = read(
            VniPage,
            page,
            "the list of network interfaces",
          );
          return { items, next };
        },
      },
    );
  }

  async deleteVni(id: string, signal: AbortSignal): Promise<void> {
    await this.#send({ method: "DELETE", path: `/virtual_network_interfaces/${id}` }, signal);
  }

  profile(name: string, signal: AbortSignal): Promise<Profile> {
    return this.#get(`/instance/profiles/${encodeURIComponent(name)}`, Profile, signal);
  }

  image(id: string, signal: AbortSignal): Promise<Image> {
    return this.#get(`/images/${encodeURIComponent(id)}`, Image, signal);
  }

  subnet(id: string, signal: AbortSignal): Promise<Subnet> {
    return this.#get(`/subnets/${encodeURIComponent(id)}`, Subnet, signal);
  }

  securityGroup(id: string, signal: AbortSignal): Promise<SecurityGroup> {
    return this.#get(`/security_groups/${encodeURIComponent(id)}`, SecurityGroup, signal);
  }

  key(id: string, signal: AbortSignal): Promise<WithName> {
    return this.#get(`/keys/${encodeURIComponent(id)}`, Key, signal);
  }

  dedicatedHost(id: string, signal: AbortSignal): Promise<Host> {
    return this.#get(`/dedicated_hosts/${encodeURIComponent(id)}`, Host, signal);
  }

  dedicatedGroup(id: string, signal: AbortSignal): Promise<Host> {
    return this.#get(`/dedicated_host/groups/${encodeURIComponent(id)}`, Host, signal);
  }

  /** Attaches user tags; those that are there already stay. Throws `unavailable` when an answer says that it failed. */
  async attachTags(crn: string, tags: readonly string[], signal: AbortSignal): Promise<void> {
    const reply = await this.#connection.send(
      {
        method: "POST",
        base: this.#endpoints.tagging,
        path: "/v3/tags/attach",
        query: { tag_type: "user" },
        body: { resources: [{ resource_id: crn }], tag_names: [...tags] },
        repeatable: true,
      },
      signal,
    );
    const failed = read(TagResults, reply, "the tagging of an instance").results.find((one) => one.is_error);
    if (failed) throw unavailable(`IBM did not attach the tags: ${failed.message || "no reason given"}`);
  }

  /** The user tags of a resource, as far as the tagging service knows them yet. */
  async tagsOf(crn: string, signal: AbortSignal): Promise<readonly string[]> {
    const query = { tag_type: "user", attached_to: crn, providers: "ghost", limit: PAGE_LIMIT };
    const reply = await this.#connection.send(
      { method: "GET", base: this.#endpoints.tagging, path: "/v3/tags", query },
      signal,
    );
    return read(TagList, reply, "the list of tags").items.map(({ name }) => name);
  }

  async cluster(id: string, signal: AbortSignal): Promise<Cluster> {
    return read(Cluster, await this.#cluster("/v2/vpc/getCluster", { cluster: id }, signal), "the cluster");
  }

  async workers(id: string, signal: AbortSignal): Promise<readonly Worker[]> {
    const query = { cluster: id, showDeleted: "false" };
    return read(Workers, await this.#cluster("/v2/vpc/getWorkers", query, signal), "the cluster's workers");
  }

  /** The security groups that the Kubernetes Service made for the cluster. */
  async clusterGroups(id: string, signal: AbortSignal): Promise<readonly WithName[]> {
    const query = { cluster: id, type: "cluster" };
    const reply = await this.#cluster("/network/v2/security-group/getSecurityGroups", query, signal);
    return read(ClusterGroups, reply, "the cluster's security groups");
  }

  #cluster(path: string, query: Query, signal: AbortSignal): Promise<unknown> {
    return this.#connection.send({ method: "GET", base: this.#endpoints.containers, path, query }, signal);
  }

  async #get<T>(path: string, schema: Schema<T>, signal: AbortSignal): Promise<T> {
    return read(schema, await this.#send({ method: "GET", path }, signal), path);
  }

  async *#pages<T>(
    path: string,
    query: Query,
    how: {
      readonly signal: AbortSignal;
      readonly items: (page: unknown) => {
        readonly items: readonly T[];
        readonly next: { readonly href: string } | undefined;
      };
    },
  ): AsyncGenerator<T> {
    let start: string | undefined;
    do {
      const paging: Query = { limit: PAGE_LIMIT, ...(start === undefined ? {} : { start }) };
      const reply = await this.#send({ method: "GET", path, query: { ...query, ...paging } }, how.signal);
      const { items, next } = how.items(reply);
      yield* items;
      start = next && (new URL(next.href).searchParams.get("start") ?? undefined);
    } while (start !== undefined);
  }

  async #send(call: Omit<IbmCall, "base">, signal: AbortSignal): Promise<unknown> {
    const query = { version: VPC_VERSION, generation: "2", ...call.query };
    return await this.#connection.send({ ...call, base: await this.#vpc(), query }, signal);
  }
}
