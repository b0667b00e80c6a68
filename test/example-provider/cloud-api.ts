/** What the example cloud tells of one VM. */
export interface CloudVm {
  readonly id: string;
  readonly name: string;
  readonly state: "starting" | "running" | "failed" | "deleting";
  readonly addresses: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
}

/** What it takes to make one. */
export interface CloudVmBody {
  readonly tags: Readonly<Record<string, string>>;
  readonly userData: string;
  readonly addresses: number;
}

/** An answer, as HTTP would give it; `code` and `message` say why when the status is 400 or above. */
export interface Answer<T> {
  readonly status: number;
  readonly body?: T;
  readonly code?: string;
  readonly message?: string;
  readonly retryAfterMs?: number;
}

/** The example cloud: VMs by name, as a REST API has them. Rejects when no answer came, or when the signal aborts. */
export interface CloudApi {
  /** 201; 409 when the name is taken. */
  put(name: string, body: CloudVmBody, signal: AbortSignal): Promise<Answer<CloudVm>>;
  get(name: string, signal: AbortSignal): Promise<Answer<CloudVm>>;
  /** 202, and the VM is gone some time after; 404 when there is none. */
  delete(name: string, signal: AbortSignal): Promise<Answer<never>>;
  /** All VMs, whoever's they are. */
  list(signal: AbortSignal): Promise<Answer<readonly CloudVm[]>>;
}
